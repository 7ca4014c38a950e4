"""A thread that does waiting work, step by step, and says why when it cannot."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from django.db import Error as DatabaseError
from django.db import close_old_connections, connection, connections

from apps.runs import journal
from apps.runs.errors import RetryableError

from .agent import LoopSpec

log = logging.getLogger(__name__)

BACK_OFF_FIRST = 0.5
BACK_OFF_MOST = 4.0


def keep_connections() -> None:
    """Let this process keep its database connections: its threads are few and live long, and logging in costs more than
    most steps. A broken one is found by the step that it fails, which is repeated anyway.
    """
    connections.settings["default"] |= {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": False}


class Loop(threading.Thread):
    """Runs a step when woken and every `interval` seconds; backs off while something it needs is away.

    Before a step it lets `make_way` pass, which returns when nothing more urgent is in hand.
    `waiting_for` is the reason why it cannot work, empty while it can.
    """

    def __init__(
        self,
        spec: LoopSpec,
        *,
        actor: str,
        changed: Callable[[], None] = lambda: None,
        make_way: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(name=spec.name, daemon=True)
        self.waiting_for = ""
        self.steps = 0
        self._spec = spec
        self._actor = actor
        self._changed = changed
        self._make_way = make_way
        self._wake = threading.Event()
        self._stopping = threading.Event()

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    def stop(self) -> None:
        """End after the step in progress."""
        self._stopping.set()
        self._wake.set()

    def run(self) -> None:
        back_off = BACK_OFF_FIRST
        while True:
            self._make_way()
            self._wake.clear()
            if self._stopping.is_set():  # asked after `clear`, which may have taken the wake-up of `stop`
                break
            more, reason = self._step()
            self._say(reason)
            if reason:
                self._stopping.wait(back_off)
                back_off = min(back_off * 2, BACK_OFF_MOST)
                continue
            back_off = BACK_OFF_FIRST
            if not more and self._wake.wait(self._spec.interval):
                self._stopping.wait(self._spec.gather)
        connection.close()

    def _step(self) -> tuple[bool, str]:
        """Whether there is more to do at once, and the reason if it could not be done."""
        close_old_connections()
        try:
            with journal.acting_as(self._actor):
                more = self._spec.step()
        except RetryableError as error:
            return False, str(error)
        except DatabaseError as error:
            connection.close()
            return False, f"the database does not answer: {_first_line(error)}"
        except Exception as error:
            # The loop is all there is to do this work: it must outlive the bug, and say that there is one.
            log.exception("%s: step failed", self.name)
            return False, f"{type(error).__name__}: {_first_line(error)} (see this agent's log)"
        self.steps += 1
        return more, ""

    def _say(self, reason: str) -> None:
        if reason != self.waiting_for:
            (log.warning if reason else log.info)("%s: %s", self.name, reason or "goes on")
            self.waiting_for = reason
            self._changed()


def why_waiting(loops: Iterable[Loop]) -> str:
    """Why work waits, loop by loop; empty when none does."""
    return "; ".join(f"{loop.name}: {loop.waiting_for}" for loop in loops if loop.waiting_for)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
