"""Tasks on each bus: how fast they are published with the broker's word for each, how fast a worker runs them, and how
long one takes from the call that publishes it to its body."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bus.application import TASK, Moments, application
from benchmarks.bus.worker import CONCURRENCY, Worker
from benchmarks.numbers import percentile

CALM_RATE = 100.0
DEADLINE_SECONDS = 60.0


@dataclass(frozen=True)
class Load:
    """Tasks of a round: so many at once, then so many at `CALM_RATE` per second."""

    at_once: int
    calmly: int


@dataclass(frozen=True)
class TaskRound:
    """A bus's turn in a round. Latencies from the publishing call to the body of the task, in milliseconds."""

    round: int
    bus: str
    pool: str
    published_per_second: float
    tasks_per_second: float
    p50_ms: float
    p99_ms: float


class Lane:
    """One bus with one kind of pool: a queue, its publisher, which is this process, and its worker."""

    def __init__(self, bus: str, url: str, pool: str, directory: Path, size: int) -> None:
        self.bus, self.pool = bus, pool
        queue = f"benchmark_{pool}"
        path = directory / f"{bus}-{pool}.moments"
        self._log = directory / f"{bus}-{pool}.log"
        self._moments = Moments.make(path, size)
        self._app = application(url, queue, self._moments)
        self.worker = Worker(url, queue, pool, path, self._log)

    def warm_up(self, count: int) -> None:
        """Have some tasks run, so that everything is connected and compiled, and go to sleep."""
        self._publish(count)
        with self.worker.awake():
            self._wait(count)

    def measure(self, number: int, load: Load) -> TaskRound:
        """Its turn in round `number`."""
        began = time.perf_counter()
        self._publish(load.at_once)
        published = load.at_once / (time.perf_counter() - began)
        with self.worker.awake():
            ran = sorted(self._wait(load.at_once))
            latencies = self._calmly(load.calmly)
        return TaskRound(
            number,
            self.bus,
            self.pool,
            round(published, 1),
            round((len(ran) - 1) / (ran[-1] - ran[0]) * 1e9, 1),
            round(percentile(latencies, 0.5), 2),
            round(percentile(latencies, 0.99), 2),
        )

    def close(self) -> None:
        """End the worker and leave the broker."""
        self.worker.stop()
        self._app.close()

    def _publish(self, count: int) -> None:
        self._moments.clear()
        for place in range(count):
            self._app.send_task(TASK, (place,))

    def _calmly(self, count: int) -> list[float]:
        """Latencies in milliseconds, ordered."""
        self._moments.clear()
        called = []
        start = time.monotonic()
        for place in range(count):
            time.sleep(max(0.0, start + place / CALM_RATE - time.monotonic()))
            called.append(time.monotonic_ns())
            self._app.send_task(TASK, (place,))
        return sorted((ran - call) / 1e6 for ran, call in zip(self._wait(count), called, strict=True))

    def _wait(self, count: int) -> list[int]:
        """When each of the first `count` tasks ran, once all have."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while 0 in (ran := self._moments.first(count)):
            if self.worker.exited() or time.monotonic() > deadline:
                log = self._log.read_text(errors="replace")[-2000:]
                raise SystemExit(
                    f"{self.bus}, {self.pool}: {ran.count(0)} of {count} tasks did not run\n{log}"
                )
            time.sleep(0.02)
        return ran


def measure(urls: Mapping[str, str], directory: Path, *, rounds: int, load: Load) -> Iterator[TaskRound]:
    """The buses by turns: all with one kind of pool, then all with the next, and so on in every round."""
    with ExitStack() as stack:
        lanes = []
        for pool in CONCURRENCY:
            for bus, url in urls.items():
                size = max(load.at_once, load.calmly)
                lanes.append(Lane(bus, url, pool, directory, size))
                stack.callback(lanes[-1].close)
        for lane in lanes:
            lane.warm_up(load.at_once)
        for number in range(1, rounds + 1):
            for lane in lanes:
                yield lane.measure(number, load)
