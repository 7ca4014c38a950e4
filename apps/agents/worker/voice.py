"""What a worker says: results, which it keeps until the broker has them, and heartbeats, which may be lost."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any

from apps.runs.errors import RetryableError

from ..bus.sending import Sender
from ..bus.slices import said_by_worker

log = logging.getLogger(__name__)

# A worker takes no slice while the broker is away, so it is a few at most. Beyond it the oldest are given up: their
# leases bring the slices back.
MOST_UNSENT = 1000


class Voice:
    """Sends over one connection, for any thread."""

    def __init__(self) -> None:
        self._sender = Sender()
        self._lock = threading.Lock()
        self._unsent: deque[dict[str, Any]] = deque(maxlen=MOST_UNSENT)
        self._trouble = ""

    @property
    def unsent(self) -> int:
        """How many results the broker does not have."""
        return len(self._unsent)

    def tell(self, result: dict[str, Any]) -> None:
        """Send a result, after what was kept; or keep it, too."""
        with self._lock:
            self._unsent.append(result)
            self._send_unsent()

    def beat(self, heartbeat: dict[str, Any], *, last: bool = False) -> None:
        """Send a heartbeat, after what was kept. The broker confirms the last one only."""
        with self._lock:
            self._send_unsent()
            self._is_sent([heartbeat], transient=not last)

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            self._sender.close()

    def _send_unsent(self) -> None:
        if self._is_sent(self._unsent):
            self._unsent.clear()

    def _is_sent(self, messages: Iterable[dict[str, Any]], *, transient: bool = False) -> bool:
        outgoing = [said_by_worker(message, transient=transient) for message in messages]
        try:
            self._sender.send(outgoing)
        except RetryableError as error:
            self._say(str(error))
            return False
        if outgoing:
            self._say("")
        return True

    def _say(self, trouble: str) -> None:
        if bool(trouble) != bool(self._trouble):
            (log.warning if trouble else log.info)("%s", trouble or "the broker takes messages again")
        self._trouble = trouble
