"""Waiting for PanDA and Rucio, and the end of a pilot that is asked to end."""

from __future__ import annotations

import logging
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from services.panda.pilot.errors import Away, Code, JobFailed, Stopped

Answer = TypeVar("Answer")

# What a job in hand gets to come to its end when the pilot is to end.
GRACE_SECONDS = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 4.0
# A job waits so long for its input before it gives its slot to another.
INPUT_SECONDS = 600.0

log = logging.getLogger(__name__)


class Stop:
    """Whether this pilot is asked to end, and since when."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._overdue_at = float("inf")

    def install(self) -> None:
        """Take SIGTERM and SIGINT for the question."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.ask())

    def ask(self) -> None:
        """Ask the pilot to end."""
        if not self._asked.is_set():
            self._overdue_at = time.monotonic() + GRACE_SECONDS
            self._asked.set()

    @property
    def asked(self) -> bool:
        """No other job is to be taken."""
        return self._asked.is_set()

    def check(self) -> None:
        """Raise `Stopped` when the grace is over."""
        if time.monotonic() > self._overdue_at:
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Sleep; a question ends the sleep, but does not make a loop spin."""
        if self._asked.is_set():
            time.sleep(min(seconds, FIRST_PAUSE))
        else:
            self._asked.wait(seconds)


class Patience:
    """Repeats calls until they are answered, with growing pauses; says why it waits when that changes.

    Args:
        say: told the reason for which the pilot waits, None when it does not any more.
    """

    def __init__(self, stop: Stop, say: Callable[[str | None], None]) -> None:
        self._stop = stop
        self._say = say
        self._reason: str | None = None

    def until_answered(
        self,
        call: Callable[[], Answer],
        beat: Callable[[], None] | None = None,
        seconds: float = float("inf"),
    ) -> Answer:
        """The answer of `call`, however often it has to be made.

        Args:
            beat: called before each further attempt; what it raises ends the waiting.
            seconds: how long to wait at most.

        Raises:
            JobFailed: the time is over.
            Stopped: the pilot is to end, and its grace is over.
        """
        deadline = time.monotonic() + seconds
        pause = FIRST_PAUSE
        while True:
            try:
                answer = call()
            except Away as error:
                self.waits_for(str(error))
                if time.monotonic() > deadline:
                    raise JobFailed(f"waited {seconds:.0f} s: {error}", Code.STAGE_IN) from error
            else:
                self.waits_for(None)
                return answer
            self._stop.check()
            self._stop.wait(pause * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
            pause = min(2 * pause, LONGEST_PAUSE)
            if beat is not None:
                beat()

    def waits_for(self, reason: str | None) -> None:
        """Note why the pilot waits; each reason is logged once."""
        if reason == self._reason:
            return
        if reason is not None:
            log.warning("waiting: %s", reason)
        elif self._reason is not None:
            log.info("goes on")
        self._reason = reason
        self._say(reason)
