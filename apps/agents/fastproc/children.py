"""Worker processes on this machine: as many as are wanted, started again when they die, gone when the agent is."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.conf import settings

log = logging.getLogger(__name__)

# A worker that ends sooner does not work: others would not either.
TOO_SOON_SECONDS = 5.0
BROKEN_PAUSE_SECONDS = 10.0
# So long a worker that was told to leave may take for the slice in its hands.
LEAVE_SECONDS = 60.0

# It is told to leave when the thread that started it ends, however it ends.
WORKER = ("setpriv", "--pdeathsig", "TERM", sys.executable, str(settings.BASE_DIR / "manage.py"), "worker")


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    started_at: float = field(default_factory=time.monotonic)
    told_at: float | None = None


class Children:
    """Worker processes. To be used by one thread, with which they end."""

    def __init__(self, command: Sequence[str] = WORKER) -> None:
        self._command = list(command)
        self._children: list[_Child] = []
        self._broken_until = 0.0
        self._broken = ""

    @property
    def trouble(self) -> str:
        """Why none are started; empty when nothing is wrong with them."""
        return self._broken if time.monotonic() < self._broken_until else ""

    @property
    def pids(self) -> list[int]:
        """Of those that are to stay."""
        return [child.process.pid for child in self._children if child.told_at is None]

    def keep(self, wanted: int) -> None:
        """Start what is missing, tell what is too many to leave, the youngest first."""
        self._children = [child for child in self._children if not self._has_ended(child)]
        staying = [child for child in self._children if child.told_at is None]
        for child in staying[wanted:]:
            child.process.send_signal(signal.SIGTERM)
            child.told_at = time.monotonic()
        for _ in range(wanted - len(staying)):
            if not self.trouble:
                self._start()

    def _start(self) -> None:
        try:
            process = subprocess.Popen(self._command, cwd=settings.BASE_DIR, stdin=subprocess.DEVNULL)
        except OSError as error:
            self._give_up(f"a worker cannot be started: {error}")
            return
        log.info("started a worker, process %d", process.pid)
        self._children.append(_Child(process))

    def _has_ended(self, child: _Child) -> bool:
        status = child.process.poll()
        now = time.monotonic()
        if status is None:
            if child.told_at is not None and now > child.told_at + LEAVE_SECONDS:
                child.process.kill()
            return False
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        log.info("worker process %d has ended (%s)", child.process.pid, how)
        if child.told_at is None and status != 0 and now < child.started_at + TOO_SOON_SECONDS:
            self._give_up(f"a worker ended at once ({how}): see this agent's log")
        return True

    def _give_up(self, why: str) -> None:
        self._broken, self._broken_until = why, time.monotonic() + BROKEN_PAUSE_SECONDS
