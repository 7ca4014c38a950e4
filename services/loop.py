"""What a server does behind its interface: steps, one after the other, in a thread that never ends.

At full speed while there is work, soon after it is woken, and nearly silent when there is none.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

IDLE_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 4.0
STALLED_SECONDS = 90.0

log = logging.getLogger(__name__)


@dataclass
class Step:
    """One pass over what waits: `work()` returns how many items it moved; `every` (s) spaces the passes out."""

    name: str
    work: Callable[[], int]
    every: float = 0.0
    error: str | None = None
    _failures: int = 0
    _due: float = 0.0

    def run(self) -> int:
        """Do a pass if it is due. A failure is kept as the reason, logged once, and tried again ever later."""
        if time.monotonic() < self._due:
            return 0
        try:
            done = self.work()
        except Exception as error:  # noqa: BLE001 - a step outlives whatever its database, its servers or its code throw
            self._fail(" ".join(str(error).split())[:500] or type(error).__name__)
            return 0
        if self._failures:
            log.warning("%s works again", self.name)
        self._failures = 0
        self._due = time.monotonic() + self.every
        self.error = None
        return done

    def _fail(self, reason: str) -> None:
        if reason != self.error:
            log.warning("%s: %s", self.name, reason, exc_info=log.isEnabledFor(logging.DEBUG))
        self.error = reason
        self._failures += 1
        self._due = time.monotonic() + min(0.25 * 2 ** min(self._failures, 8), LONGEST_BACKOFF_SECONDS)


class Loop:
    """Runs the steps in a thread of its own.

    Args:
        steps: done in this order, over and over.
        wake: its pauses end at once when this is set.
        moved: called after a pass that moved something.
    """

    def __init__(
        self, steps: Sequence[Step], wake: threading.Event, moved: Callable[[], None] = lambda: None
    ) -> None:
        self._steps = steps
        self._wake = wake
        self._moved = moved
        self._current = ""
        self._since = time.monotonic()

    def start(self) -> None:
        """Begin; the thread ends with the process."""
        threading.Thread(target=self._run, daemon=True).start()

    def wake(self) -> None:
        """There may be something to do."""
        self._wake.set()

    def reason(self) -> str | None:
        """None when all is well, else which step fails or hangs, in one line."""
        for step in self._steps:
            if step.error:
                return f"{step.name} failing: {step.error}"
        stalled = time.monotonic() - self._since
        if stalled > STALLED_SECONDS:
            return f"{self._current} has not come back for {stalled:.0f} s"
        return None

    def prepare(self) -> None:
        """Done once, by the thread; for those who want it different."""

    def before_step(self) -> None:
        """Done before every step; for those who have to wait for something."""

    def do(self, step: Step) -> int:
        """One pass of a step; how many items it moved."""
        self.before_step()
        self._current, self._since = step.name, time.monotonic()
        return step.run()

    def _run(self) -> None:
        self.prepare()
        while True:
            self._wake.clear()
            if sum(self.do(step) for step in self._steps):
                self._moved()
            else:
                self._wake.wait(IDLE_SECONDS)
