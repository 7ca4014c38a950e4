"""A handler of Python's logging that sends records to the testbed, in batches and from a thread of its own."""

from __future__ import annotations

import atexit
import logging
import math
import sys
import threading
import time
from collections import deque
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

from .errors import Away, Refused
from .rest import TIMEOUT_SECONDS, Rest
from .web import RETRY_FIRST_SECONDS, RETRY_MOST_SECONDS, pauses

KEPT_RECORDS = 20_000
BATCH_RECORDS = 500
BATCH_CHARACTERS = 1_000_000
GATHER_SECONDS = 0.5
LAST_WORD_SECONDS = 5.0
_PATH = "logs/"
# The testbed takes nothing of a batch in which it refuses one record.
_FOR_ITS_CONTENT = frozenset({400, 413, 422})
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_INT = 2**63

Said = dict[str, Any]


class LogHandler(logging.Handler):
    """Sends what is logged to the testbed's logs; whoever logs never waits.

    While the testbed is away the last 20,000 records are kept. The ones before are dropped, and the testbed is told how
    many. On `close()`, or when the process ends, 5 s at most are spent on what is still to be sent;
    standard error is told of what was not.
    """

    def __init__(
        self, rest: Rest, app_name: str, instance_name: str, *, kept_records: int = KEPT_RECORDS
    ) -> None:
        super().__init__()
        self._rest = rest
        self._names = {"app_name": app_name, "instance_name": instance_name}
        self._kept_records = kept_records
        self._changed = threading.Condition()
        self._waiting: deque[Said] = deque()
        self._in_hand = 0
        self._lost = 0
        self._closing = threading.Event()
        self._give_up_at = float("inf")
        self._complaint = ""
        # Python waits for threads of another kind before it closes handlers.
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
        self._thread.start()
        # Before logging's own, which would flush first, and so wait twice.
        atexit.register(self.close)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record."""
        if record.thread == self._thread.ident:
            return  # what sending logs itself would never end
        try:
            said = self._said(record)
        except Exception:  # noqa: BLE001 - as in all handlers: who logs is not hurt by a record that cannot be formatted
            self.handleError(record)
            return
        with self._changed:
            self._waiting.append(said)
            if len(self._waiting) > self._kept_records:
                self._waiting.popleft()
                self._lost += 1
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until everything is sent, 5 s at most."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_idle() or self._closing.is_set(), LAST_WORD_SECONDS)

    def close(self) -> None:
        """Send what there is, for 5 s at most, and end."""
        atexit.unregister(self.close)
        if not self._closing.is_set():
            self._give_up_at = time.monotonic() + LAST_WORD_SECONDS
            self._closing.set()
            with self._changed:
                self._changed.notify_all()
            self._thread.join(LAST_WORD_SECONDS)
            if unsent := len(self._waiting) + self._in_hand + self._lost:
                self._complain(f"{unsent} log records were not sent to {self._rest.url}")
        super().close()

    def _is_idle(self) -> bool:
        return not (self._waiting or self._in_hand or self._lost)

    def _said(self, record: logging.LogRecord) -> Said:
        return {
            **self._names,
            "timestamp": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelno,
            "levelname": _storable(record.levelname),
            "message": _storable(self.format(record)),
            "module": _storable(record.module),
            "funcname": _storable(record.funcName),
            "lineno": record.lineno,
            "process": record.process,
            "thread": record.thread,
            "extra_data": {
                _storable(name): _storable(value)
                for name, value in vars(record).items()
                if name not in _USUAL
            },
        }

    def _run(self) -> None:
        while batch := self._next_batch():
            if not self._deliver(batch):
                return
            with self._changed:
                self._in_hand = 0
                self._changed.notify_all()

    def _next_batch(self) -> list[Said]:
        """The oldest records, once there are some; none when the handler is closed and has no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._lost or self._closing.is_set())
            self._changed.wait_for(
                lambda: len(self._waiting) >= BATCH_RECORDS or self._closing.is_set(), GATHER_SECONDS
            )
            batch: list[Said] = []
            if self._lost:
                batch.append(self._note_of_loss())
                self._lost = 0
            characters = 0
            while self._waiting and len(batch) < BATCH_RECORDS and characters < BATCH_CHARACTERS:
                batch.append(self._waiting.popleft())
                characters += len(batch[-1]["message"])
            self._in_hand = len(batch)
        return batch

    def _note_of_loss(self) -> Said:
        return {
            **self._names,
            "timestamp": datetime.now(timezone.utc).isoformat(),
            "level": logging.WARNING,
            "message": f"{self._lost} log records of this agent were dropped: the testbed was away, or refused them",
            "extra_data": {"dropped": self._lost},
        }

    def _deliver(self, batch: list[Said]) -> bool:
        """Send a batch, as often as it takes; False if the handler was closed meanwhile and time is up.

        One that is refused is halved until the culprit is alone, which is dropped.
        """
        key, waits = str(uuid4()), pauses()
        while (left := self._give_up_at - time.monotonic()) > 0:
            try:
                self._rest.post(_PATH, batch, key=key, patience=min(TIMEOUT_SECONDS, left))
            except Away as error:
                self._pause(max(next(waits), error.retry_after))
            except Refused as refusal:
                self._complain(f"{self._rest.url} refuses log records: {refusal}")
                if refusal.status in _FOR_ITS_CONTENT:
                    return self._deliver_in_parts(batch)
                # The token, most likely, which may be given more rights.
                self._pause(RETRY_MOST_SECONDS)
            else:
                return True
        return False

    def _deliver_in_parts(self, batch: list[Said]) -> bool:
        if len(batch) == 1:
            with self._changed:
                self._lost += 1
            return True
        middle = len(batch) // 2
        return self._deliver(batch[:middle]) and self._deliver(batch[middle:])

    def _pause(self, seconds: float) -> None:
        """Wait, but not for long when the handler is being closed."""
        if self._closing.is_set():
            time.sleep(min(seconds, RETRY_FIRST_SECONDS))
        else:
            self._closing.wait(seconds)

    def _complain(self, text: str) -> None:
        """Tell standard error, once of the same thing in a row: the testbed's logs are the wrong place for it."""
        if text != self._complaint and sys.stderr is not None:
            sys.stderr.write(f"{self._names['instance_name']}: {text}\n")
        self._complaint = text


def _storable(value: Any) -> Any:
    """The value as JSON and as the testbed's database can have it: what is no number or text as text, and in texts NULs and
    halves of surrogate pairs, such as file names have, as Python writes them."""
    if value is None or (isinstance(value, int) and -_INT < value < _INT):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return str(value).replace("\0", "\\x00").encode(errors="backslashreplace").decode()
