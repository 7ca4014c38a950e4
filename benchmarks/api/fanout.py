"""The live feed to many clients at once: from the commit of an entry until each of them has it.

`measure` needs a web process and its database. It starts the relay, which numbers the entries, and a writer, which commits
them, as processes of their own; the clients are in this one (`benchmarks.api.listeners`), and what they cost is said beside
what the server costs. All of them share the machine.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.api.cpu import cpu_seconds
from benchmarks.api.listeners import TRANSPORTS, Listener, connected, newest_position
from benchmarks.numbers import percentile
from services.base import REPOSITORY

# The first events find code that was never run and pages that were never touched.
WARM_SECONDS = 2.0
PATIENCE = 60.0


@dataclass(frozen=True)
class FanOut:
    """What was measured. Times are in ms from the moment at which the writer's commit had returned until a client had read
    the event; CPU is in cores, over the time in which events were written."""

    transport: str
    clients: int
    rate: float
    events: int
    deliveries: int
    deliveries_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    web_cpu: float
    clients_cpu: float
    load: float
    exact: bool


def measure(
    url: str,
    *,
    web_pid: int,
    transport: str = "sse",
    clients: int = 200,
    rate: float = 20.0,
    seconds: float = 20.0,
    token: str = "",
    environment: Mapping[str, str] | None = None,
) -> FanOut:
    """Connect the clients, commit `rate` entries a second for `seconds`, and wait until all have come.

    Args:
        url: of the web process, `http://127.0.0.1:8000`.
        web_pid: its process id; its children count as it does.
        transport: "sse" or "websocket".
        token: to read by; without, anybody must be allowed to.
        environment: by which `manage.py` finds the web process's database; that of this process without.

    Returns:
        The figures; `exact` when each client got each event once and in order.

    Raises:
        ValueError: there is no such transport.
        TimeoutError: the clients were not let in, or events were missing a minute later.
    """
    if transport not in TRANSPORTS:
        raise ValueError(f"transport={transport!r}; there are {', '.join(TRANSPORTS)}")
    variables = {"DJANGO_SETTINGS_MODULE": "swf_site.settings", **(environment or os.environ)}
    warm, total = int(rate * WARM_SECONDS), int(rate * (WARM_SECONDS + seconds))
    with _started(["manage.py", "relay"], variables):
        measured = _Measured(url, web_pid, transport, token, variables)
        asyncio.run(measured.run(clients, rate, total))
    return measured.figures(rate, warm)


class _Measured:
    """One measurement while it is made."""

    def __init__(
        self, url: str, web_pid: int, transport: str, token: str, environment: Mapping[str, str]
    ) -> None:
        self._url = url
        self._web_pid = web_pid
        self._transport = transport
        self._token = token
        self._environment = environment
        self._committed: list[int] = []
        self._listeners: list[Listener] = []
        self._web_cpu = self._clients_cpu = 0.0

    async def run(self, clients: int, rate: float, total: int) -> None:
        """Listen while entries are written; afterwards all have come."""
        async with asyncio.timeout(PATIENCE):
            position = await newest_position(self._url, self._token)
        async with connected(
            self._transport, self._url, count=clients, token=self._token, cursor=position, patience=PATIENCE
        ) as self._listeners:
            web, own, began = cpu_seconds(self._web_pid), time.process_time(), time.monotonic()
            self._committed = await self._write(rate, total)
            lasted = time.monotonic() - began
            self._web_cpu = (cpu_seconds(self._web_pid) - web) / lasted
            self._clients_cpu = (time.process_time() - own) / lasted
            async with asyncio.timeout(PATIENCE):
                for listener in self._listeners:
                    await listener.until(total)

    async def _write(self, rate: float, total: int) -> list[int]:
        """When each entry was committed (monotonic ns)."""
        command = [sys.executable, "-m", "benchmarks.api.writer", f"{rate:g}", str(total)]
        writer = await asyncio.create_subprocess_exec(
            *command, cwd=REPOSITORY, env=self._environment, stdout=subprocess.PIPE
        )
        said, _ = await writer.communicate()
        if writer.returncode:
            raise subprocess.CalledProcessError(writer.returncode, command)
        return [int(moment) for moment in said.split()]

    def figures(self, rate: float, warm: int) -> FanOut:
        """What has come of it, but for the times of the first `warm` events."""
        numbers = list(range(len(self._committed)))
        times = sorted(
            (moment - self._committed[number]) / 1e6
            for listener in self._listeners
            for number, moment in listener.heard
            if warm <= number < len(numbers)
        )
        lasted = (self._committed[-1] - self._committed[warm]) / 1e9
        return FanOut(
            transport=self._transport,
            clients=len(self._listeners),
            rate=rate,
            events=len(numbers),
            deliveries=sum(len(listener.heard) for listener in self._listeners),
            deliveries_per_s=round(len(times) / lasted, 1),
            p50_ms=_rounded(times, 0.5),
            p95_ms=_rounded(times, 0.95),
            p99_ms=_rounded(times, 0.99),
            max_ms=_rounded(times, 1.0),
            web_cpu=round(self._web_cpu, 3),
            clients_cpu=round(self._clients_cpu, 3),
            load=round(os.getloadavg()[0], 2),
            exact=all([number for number, _ in listener.heard] == numbers for listener in self._listeners),
        )


def _rounded(ordered: Sequence[float], share: float) -> float:
    return round(percentile(ordered, share), 1)


@contextmanager
def _started(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[None]:
    """A process of the testbed, as long as it is needed."""
    process = subprocess.Popen(
        [sys.executable, *command], cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()
