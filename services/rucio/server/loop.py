"""The loop of Rucio's daemons: copies stand back for whoever writes datasets."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from services.loop import Loop, Step

# Copies can wait, the registration of what the DAQ has just written cannot.
NICE = 5
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

    def prepare(self) -> None:
        """Stand back where processors are scarce."""
        yield_processor()

    def before_step(self) -> None:
        """Let urgent requests pass."""
        with self._none_urgent:
            self._none_urgent.wait_for(lambda: not self._urgent, LONGEST_YIELD_SECONDS)
