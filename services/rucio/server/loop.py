"""The loop of Rucio's daemons: copies stand back for whoever writes datasets."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from services.loop import Loop, Step

# The steps that move copies.
COPYING = frozenset({"submitter", "receiver", "finisher"})
# Copies can wait, the registration of what the DAQ has just written cannot.
NICE = 5
# Copies are being booked while the last booking is not older than this.
COPYING_SECONDS = 0.5
# The longest that a request which can wait does so for copies.
LONGEST_STAND_BACK_SECONDS = 1.0
# The longest that one pause for urgent requests may last: copies shall get slower, not starve.
LONGEST_YIELD_SECONDS = 2.0


def yield_processor() -> None:
    """Let the calling thread, and it alone, stand back where processors are scarce (Linux ranks threads)."""
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICE)


class DaemonLoop(Loop):
    """All daemons in one thread: two would compete for the interpreter lock and for the same rows, and were slower."""

    def __init__(self, steps: Sequence[Step], wake: threading.Event) -> None:
        super().__init__(steps, wake)
        self._copied_at = -COPYING_SECONDS
        self._urgent = 0
        self._none_urgent = threading.Condition()

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

    def stand_back(self) -> None:
        """Wait while copies are being booked, a second at most: they and requests compete for one interpreter."""
        deadline = time.monotonic() + LONGEST_STAND_BACK_SECONDS
        while time.monotonic() < min(deadline, self._copied_at + COPYING_SECONDS):
            time.sleep(0.02)

    def do(self, step: Step) -> int:
        """Note when copies move."""
        moved = super().do(step)
        if moved and step.name in COPYING:
            self._copied_at = time.monotonic()
        return moved

    def prepare(self) -> None:
        """Stand back where processors are scarce."""
        yield_processor()

    def before_step(self) -> None:
        """Let urgent requests pass."""
        with self._none_urgent:
            self._none_urgent.wait_for(lambda: not self._urgent, LONGEST_YIELD_SECONDS)
