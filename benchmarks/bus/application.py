"""What is measured: a Celery application whose only task notes when it ran, and does nothing else."""

from __future__ import annotations

import mmap
import time
from pathlib import Path

from celery import Celery
from kombu import Queue

from apps.agents.bus import stomp

TASK = "benchmarks.note"
PREFETCH_MULTIPLIER = 4
_BYTES = 8


class Moments:
    """`size` moments in memory that processes share through a file: nanoseconds of the system's monotonic clock, 0 for
    none yet. Each task has a place of its own, so noting costs a microsecond and no lock."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._moments = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")

    @classmethod
    def make(cls, path: Path, size: int) -> Moments:
        """New ones, for this process and for those that are given the path."""
        path.write_bytes(bytes(size * _BYTES))
        return cls(path)

    def note(self, place: int) -> None:
        """It is now."""
        self._moments[place] = time.monotonic_ns()

    def first(self, count: int) -> list[int]:
        """Those of the first `count` places."""
        return self._moments[:count].tolist()

    def clear(self) -> None:
        """Forget all."""
        self._moments[:] = memoryview(bytes(self._moments.nbytes)).cast("Q")


def application(broker: str, queue: str, moments: Moments) -> Celery:
    """The application with one durable queue on this broker, told what the testbed tells its own."""
    from swf_site.settings.broker import transport_options

    stomp.register()
    app = Celery("benchmark", broker=broker, set_as_current=False)
    app.conf.update(
        # No heart-beats: a worker that waits, stopped, for its turn shall not be thought dead, nor think that of a broker.
        broker_transport_options={**transport_options(broker, queue), "heartbeat": 0},
        broker_heartbeat=0,
        broker_connection_retry_on_startup=True,
        task_queues=[Queue(queue, durable=True)],
        task_default_queue=queue,
        task_acks_late=True,
        task_ignore_result=True,
        worker_prefetch_multiplier=PREFETCH_MULTIPLIER,
        worker_enable_remote_control=False,
    )
    app.task(moments.note, name=TASK, shared=False)
    return app
