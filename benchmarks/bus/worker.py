"""`python -m benchmarks.bus.worker BROKER QUEUE POOL MOMENTS`: a Celery worker of the measured application."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bus.application import Moments, application
from services.base import REPOSITORY

CONCURRENCY = {"prefork": 2, "solo": 1}


class Worker:
    """A worker process with its pool. It takes its turn awake; all others are asleep (SIGSTOP), at no cost to it."""

    def __init__(self, broker: str, queue: str, pool: str, moments: Path, log: Path) -> None:
        command = [sys.executable, "-m", "benchmarks.bus.worker", broker, queue, pool, str(moments)]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, cwd=REPOSITORY, stdout=output, stderr=output, start_new_session=True
            )

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Its turn."""
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self.sleep()

    def sleep(self) -> None:
        """Stop where it is, until its turn."""
        self._signal(signal.SIGSTOP)

    def exited(self) -> bool:
        """Whether it is gone, which it should never be by itself."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """End it, at once: there is nothing to be finished."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if not self.exited():
            os.killpg(self._process.pid, number)


def main(broker: str, queue: str, pool: str, moments: str) -> None:
    """Be the worker."""
    app = application(broker, queue, Moments(Path(moments)))
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING"]
    # Named once more: Celery's command line would take the BROKER_URL of the environment first.
    how = [f"--broker={broker}", "worker", f"--pool={pool}", f"--concurrency={CONCURRENCY[pool]}"]
    app.worker_main([*how, *quiet])


if __name__ == "__main__":
    main(*sys.argv[1:])
