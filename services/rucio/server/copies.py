"""The copies under way: a pool of threads, and the outcomes in the form in which Rucio's core books them.

Server and daemons are one process, so the pool's state needs no other place than its memory: after a restart
every transfer that was under way is queued again (`daemons.requeue_interrupted`).
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rucio.db.sqla.constants import RequestState
from rucio.transfertool.transfertool import TransferStatusReport

from services.copying import CopyError
from services.rucio.server.loop import yield_processor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Copy:
    """One copy to be made, as the catalogue wants it: URLs, bytes, adler32 (8 hexadecimal digits)."""

    request_id: str
    job: str
    source: str
    target: str
    target_rse: str
    size: int
    adler32: str


class Outcome(TransferStatusReport):
    """What became of a copy; `err_msg` is None for a success."""

    supported_db_fields = ("state", "external_id", "err_msg", "started_at", "transferred_at")

    def __init__(self, copy: Copy, started: datetime, error: str | None) -> None:
        super().__init__(copy.request_id)
        self.state = RequestState.DONE if error is None else RequestState.FAILED
        self.external_id = copy.job
        self.err_msg = error
        self.started_at = started
        self.transferred_at = now()

    def initialize(self, session: Any, logger: Any = logging.log) -> None:
        """Nothing to fetch: everything was known when the copy ended."""

    def get_monitor_msg_fields(self, session: Any, logger: Any = logging.log) -> dict[str, Any]:
        """No additions to the event that Rucio may publish."""
        return {}


class Pool:
    """The copies under way and those just ended; any thread may call any method."""

    def __init__(self, copy: Callable[[Copy], None], workers: int, wake: threading.Event) -> None:
        self._copy = copy
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="copy", initializer=yield_processor)
        self._wake = wake
        self._ended: deque[Outcome] = deque()
        self._lock = threading.Lock()
        self.active = 0

    def submit(self, copy: Copy) -> None:
        """Have the copy made by the next free thread."""
        with self._lock:
            self.active += 1
        self._executor.submit(self._run, copy)

    def take(self, limit: int) -> list[Outcome]:
        """Up to `limit` copies that have ended; what cannot be booked must be given back."""
        with self._lock:
            return [self._ended.popleft() for _ in range(min(limit, len(self._ended)))]

    def give_back(self, outcomes: Sequence[Outcome]) -> None:
        """Outcomes that could not be written to the catalogue, to be taken again."""
        with self._lock:
            self._ended.extendleft(reversed(outcomes))

    def _run(self, copy: Copy) -> None:
        started, error = now(), None
        try:
            self._copy(copy)
        except CopyError as failure:
            error = str(failure)
        except Exception as failure:  # whatever it was, the catalogue must learn that it failed
            log.exception("copy of %s", copy.source)
            error = f"{type(failure).__name__}: {failure}"
        with self._lock:
            self.active -= 1
            self._ended.append(Outcome(copy, started, error))
        self._wake.set()


def now() -> datetime:
    """The time as Rucio writes it: UTC without saying so."""
    return datetime.now(UTC).replace(tzinfo=None)
