"""The newest journal entries in the memory of a web process, so that a hundred open pages cost one query.

One thread listens to the relay's "sequenced up to here", reads what is new and wakes the pages. The wake-up says nothing
but "look": each page reads on from its own cursor, here or, when it is further behind, in the database. So a wake-up may be
dropped, doubled or late, and no event is.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from datetime import timedelta
from itertools import islice

from channels.layers import get_channel_layer
from django.db import Error as DatabaseError
from django.utils import timezone

from ..selectors import entries_after, newest_position, unsequenced_since
from .channel import LIVE_CHANNEL
from .listen import Listener, database_away
from .payloads import LiveEvent, live_event

GROUP = "live"
KEPT = 5_000
BATCH = 500
RELAY_IS_LATE = timedelta(seconds=3)
_TROUBLE_HOLDS_SECONDS = 4.0


class Feed:
    """The shared tail of the journal. Filled by its own thread, read by the event loop."""

    def __init__(self) -> None:
        self.listener = Listener(LIVE_CHANNEL, lambda _: self.catch_up())
        self._events: deque[LiveEvent] = deque(maxlen=KEPT)
        self._position: int | None = None
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._trouble = ""
        self._trouble_until = 0.0

    def start(self) -> None:
        """Start listening. The thread survives the database; it ends with the process or with `stop`."""
        self.listener.start()

    def stop(self) -> None:
        """End the thread."""
        self.listener.stop()
        if self.listener.is_alive():
            self.listener.join()

    def wake_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Pages of this process live in `loop`: wake them there. The channel layer's queues know no other thread."""
        self._loop = loop

    def catch_up(self) -> None:
        """Read everything that was sequenced since, and wake the pages."""
        position = self._position
        if position is None:
            position = newest_position()
        while entries := entries_after(position, limit=BATCH):
            events = [live_event(entry) for entry in entries]
            position = events[-1]["position"]
            with self._lock:
                self._events.extend(events)
                self._position = position
        with self._lock:
            self._position = position
        self._wake_pages()

    def since(self, position: int, *, limit: int) -> list[LiveEvent] | None:
        """The next events after `position`; None when memory does not reach back that far: the database does."""
        with self._lock:
            if self._position is None:
                return None
            if position >= self._position:
                return []
            if not self._events or self._events[0]["position"] > position + 1:
                return None
            # Positions have no holes, so the distance is the index.
            start = position + 1 - self._events[0]["position"]
            return list(islice(self._events, start, start + limit))

    def trouble(self) -> str:
        """Why news may be late, "" if it is not. Asks the database, once every few seconds for all pages."""
        now = time.monotonic()
        if now > self._trouble_until:
            self._trouble, self._trouble_until = self._find_trouble(), now + _TROUBLE_HOLDS_SECONDS
        return self._trouble

    def _find_trouble(self) -> str:
        if not self.listener.is_alive():
            return "this web process has stopped listening: restart it"
        if self.listener.waiting_for:
            return self.listener.waiting_for
        try:
            oldest = unsequenced_since()
        except DatabaseError as error:
            return database_away(error)
        late = timezone.now() - oldest if oldest else timedelta()
        if late > RELAY_IS_LATE:
            return f"the relay is {late.total_seconds():.0f} s behind: is it up? ./swf-testbed status-local"
        return ""

    def _wake_pages(self) -> None:
        layer = get_channel_layer()
        if layer and self._loop and self._loop.is_running():
            asyncio.run_coroutine_threadsafe(layer.group_send(GROUP, {"type": "live.news"}), self._loop)


feed = Feed()
"""The feed of this process; `swf_site.asgi` starts it."""
