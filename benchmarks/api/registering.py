"""STFs of another DAQ, registered over REST: one by one from several clients, and in lists."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.api.site import Site
from benchmarks.numbers import percentile

CONTENT = b"a small super time frame" * 8
WARM_UP = 20
CONNECT_SECONDS = 60.0


@dataclass(frozen=True)
class Registration:
    """STFs that were registered by so many clients at a time, in requests of so many; milliseconds until the answer."""

    clients: int
    stfs_per_request: int
    stfs: int
    stfs_per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    web_cpu_ms_per_stf: float
    queries: int


class Daq:
    """A run of another DAQ, whose STFs lie in the exit buffer when they are asked for."""

    def __init__(self, site: Site, run_number: int) -> None:
        self._number = run_number
        self._directory = site.exit_buffer / str(run_number)
        self._directory.mkdir(parents=True)
        self._sequences = count(1)
        with site.client() as client:
            client.post("/api/runs/", {"run_number": run_number})

    def stfs(self, number: int) -> list[dict[str, Any]]:
        """What the existing data agent says of the next STFs; their files are there."""
        return [self._stf(sequence) for sequence in _next(self._sequences, number)]

    def _stf(self, sequence: int) -> dict[str, Any]:
        name = f"swf.{self._number}.{sequence:06d}.stf"
        Path(self._directory / name).write_bytes(CONTENT)
        return {
            "run": self._number,
            "stf_filename": name,
            "file_size_bytes": len(CONTENT),
            "machine_state": "run",
            "status": "registered",
            "metadata": {
                "created_by": "benchmark",
                "substate": "physics",
                "start": "20260801100000000000",
                "end": "20260801100000600000",
                "sequence": sequence,
            },
        }


def measure(site: Site, daq: Daq, *, clients: int, stfs_per_request: int, requests: int) -> Registration:
    """Register STFs by `requests` requests in all; single ones are no lists."""
    with site.client() as client:
        for body in _bodies(daq, 1, WARM_UP):
            client.post("/api/stf-files/", body)
    bodies = list(_bodies(daq, stfs_per_request, requests))
    taken: list[float] = []
    queries: set[int] = set()
    # All connect before the clock starts.
    ready = threading.Barrier(clients + 1, timeout=CONNECT_SECONDS)

    def work(own: Sequence[Any]) -> None:
        with site.client() as client:
            client.get("/api/namespaces/")
            ready.wait()
            for body in own:
                began = time.perf_counter()
                answer = client.post("/api/stf-files/", body)
                taken.append(time.perf_counter() - began)
                queries.add(answer.queries)

    with ThreadPoolExecutor(clients) as pool:
        working = [pool.submit(work, bodies[nth::clients]) for nth in range(clients)]
        ready.wait()
        cpu, began = site.web_cpu_seconds(), time.perf_counter()
        for one in working:
            one.result()
        seconds, cpu = time.perf_counter() - began, site.web_cpu_seconds() - cpu
    stfs = requests * stfs_per_request
    p50, p95, p99 = (round(1000 * percentile(sorted(taken), share), 2) for share in (0.5, 0.95, 0.99))
    return Registration(
        clients,
        stfs_per_request,
        stfs,
        round(stfs / seconds, 1),
        p50,
        p95,
        p99,
        round(1000 * cpu / stfs, 3),
        max(queries),
    )


def _bodies(daq: Daq, stfs_per_request: int, requests: int) -> Iterator[Any]:
    for _ in range(requests):
        said = daq.stfs(stfs_per_request)
        yield said[0] if stfs_per_request == 1 else said


def _next(numbers: Iterator[int], number: int) -> Iterator[int]:
    return (next(numbers) for _ in range(number))
