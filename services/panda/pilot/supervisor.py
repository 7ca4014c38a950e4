"""The parent of the pilots: one process per slot, started again when it dies, ended together."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from services.base import REPOSITORY, EngineError
from services.panda.pilot.processes import mortal

LOOK_SECONDS = 0.2
# A pilot that dies at once is started again after ever longer pauses.
SHORT_LIFE_SECONDS = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.0, 5.0
# A job in hand has 5 s to end, and its report a few more.
END_SECONDS = 15.0

log = logging.getLogger(__name__)


class Slot:
    """One place for a pilot."""

    def __init__(self, queue: str, number: int, environment: Mapping[str, str]) -> None:
        self.name = f"{queue}/{number}"
        self._command = [sys.executable, "-m", "services.panda.pilot", queue, str(number)]
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._not_before = 0.0
        self._pause = FIRST_PAUSE

    def keep_alive(self) -> None:
        """Start its pilot if there is none."""
        now = time.monotonic()
        if self._process is not None and (status := self._process.poll()) is not None:
            lived = now - self._started
            self._pause = (
                FIRST_PAUSE if lived > SHORT_LIFE_SECONDS else min(2 * self._pause + 0.5, LONGEST_PAUSE)
            )
            self._not_before = now + self._pause
            log.warning("pilot %s ended after %.0f s with %d", self.name, lived, status)
            self._process = None
        if self._process is None and now >= self._not_before:
            self._started = now
            self._process = subprocess.Popen(
                self._command,
                cwd=REPOSITORY,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                process_group=0,
                preexec_fn=mortal(os.getpid()),
            )

    def end(self) -> None:
        """Ask its pilot to end."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, deadline: float) -> None:
        """Wait for the end until the monotonic time `deadline`, then kill."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("pilot %s did not end and is killed", self.name)
            self._process.kill()
            self._process.wait()


def supervise(directory: Path, slots: Mapping[str, int], environment: Mapping[str, str]) -> None:
    """Keep the pilots alive until SIGTERM or SIGINT, then end them.

    Args:
        directory: of the engine; its lock lets one such process work.
        slots: queue to the number of its pilots.

    Raises:
        EngineError: another one works already.
    """
    lock = _lock(directory)
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: asked.append(received))
    places = [Slot(queue, n, environment) for queue, count in slots.items() for n in range(1, count + 1)]
    try:
        while not asked:
            for slot in places:
                slot.keep_alive()
            time.sleep(LOOK_SECONDS)
    finally:
        _end(places)
        os.close(lock)


def _end(places: Iterable[Slot]) -> None:
    places = list(places)
    for slot in places:
        slot.end()
    deadline = time.monotonic() + END_SECONDS
    for slot in places:
        slot.wait(deadline)


def _lock(directory: Path) -> int:
    directory.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise EngineError(f"{directory} is locked: the pilots of this home are running already") from None
    return lock
