"""A loop of steps that never ends: at full speed while there is work, nearly silent when there is none."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

IDLE_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 5.0
STALLED_SECONDS = 90.0
# Copies can wait, the registration of what the DAQ has just written cannot.
NICE = 5
# The longest that one pause for urgent requests may last: copies shall get slower, not starve.
LONGEST_YIELD_SECONDS = 2.0

log = logging.getLogger(__name__)


@dataclass
class Step:
    """One daemon's pass: `work()` returns how many items it dealt with; `every` (s) spaces the passes out."""

    name: str
    work: Callable[[], int]
    every: float = 0.0
    error: str | None = None
    _failures: int = 0
    _due: float = 0.0

    def run(self) -> int:
        """Do a pass if it is due. A failure is recorded and backed off; it never reaches the other steps."""
        if time.monotonic() < self._due:
            return 0
        try:
            done = self.work()
        except Exception as error:  # noqa: BLE001 - a daemon outlives whatever its database or its code throws
            self._failures += 1
            self._due = time.monotonic() + min(0.25 * 2**self._failures, LONGEST_BACKOFF_SECONDS)
            self.error = " ".join(str(error).split())[:500] or type(error).__name__
            log.warning("%s failed %d times in a row: %s", self.name, self._failures, self.error)
            return 0
        self._failures = 0
        self._due = time.monotonic() + self.every
        self.error = None
        return done


def yield_processor() -> None:
    """Let the calling thread, and it alone, stand back where processors are scarce (Linux ranks threads)."""
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICE)


class Loop:
    """Runs the steps one after the other, in a thread of its own; setting `wake` ends a pause at once.

    One thread on purpose: two would compete for the interpreter lock and for the same rows, and were slower.
    """

    def __init__(self, steps: Sequence[Step], wake: threading.Event) -> None:
        self._steps = steps
        self._wake = wake
        self._current = ""
        self._since = time.monotonic()
        self._urgent = 0
        self._none_urgent = threading.Condition()

    def start(self) -> None:
        """Begin; the thread ends with the process."""
        threading.Thread(target=self._run, name="daemons", daemon=True).start()

    def reason(self) -> str | None:
        """None when all is well, else which daemon fails or hangs, in one line."""
        for step in self._steps:
            if step.error:
                return f"daemon {step.name} failing: {step.error}"
        stalled = time.monotonic() - self._since
        if stalled > STALLED_SECONDS:
            return f"daemon {self._current} has not come back for {stalled:.0f} s"
        return None

    @contextmanager
    def yielding(self) -> Iterator[None]:
        """No step begins in this block: who is in it has the interpreter and the database to itself."""
        with self._none_urgent:
            self._urgent += 1
        try:
            yield
        finally:
            with self._none_urgent:
                self._urgent -= 1
                self._none_urgent.notify_all()

    def _run(self) -> None:
        yield_processor()
        while True:
            self._wake.clear()
            if not sum(self._pass(step) for step in self._steps):
                self._wake.wait(IDLE_SECONDS)

    def _pass(self, step: Step) -> int:
        with self._none_urgent:
            self._none_urgent.wait_for(lambda: not self._urgent, LONGEST_YIELD_SECONDS)
        self._current, self._since = step.name, time.monotonic()
        return step.run()
