"""The newest journal entries in the memory of a web process, so that a hundred open pages cost one query.

One thread listens to the relay's "sequenced up to here", reads what is new and wakes the pages and streams. The wake-up
says nothing but "look": each reads on from its own cursor, here or, when it is further behind, in the database. So a wake-up
may be dropped, doubled or late, and no event is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from channels.layers import get_channel_layer
from django.db import Error as DatabaseError
from django.utils import timezone

from ..models import JournalEntry
from ..selectors import entries_after, newest_position, unsequenced_since
from .channel import LIVE_CHANNEL
from .listen import Listener, database_away
from .payloads import LiveEvent, live_event
from .tail import Tail

GROUP = "live"
BATCH = 500
RELAY_IS_LATE = timedelta(seconds=3)
_TROUBLE_HOLDS_SECONDS = 4.0
Item = TypeVar("Item")


class Feed:
    """The shared tail of the journal. Filled by its own thread, read by the event loop."""

    def __init__(self) -> None:
        self.listener = Listener(LIVE_CHANNEL, lambda _: self.catch_up())
        self._events = Tail(live_event)
        self._tails: list[Tail[Any]] = [self._events]
        self._position: int | None = None
        self._bell = asyncio.Event()
        self._waking: asyncio.Future[None] | None = None
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

    def attach(self, make: Callable[[JournalEntry], Item]) -> Tail[Item]:
        """Keep the journal's tail in another form too: the same entries, read by the same query."""
        tail = Tail(make)
        self._tails = [*self._tails, tail]
        return tail

    def catch_up(self) -> None:
        """Read everything that was sequenced since, and wake the pages."""
        position = self._position
        if position is None:
            position = newest_position()
        self._extend([], position)
        while entries := entries_after(position, limit=BATCH):
            position = entries[-1].position or position
            self._extend(entries, position)
        self._wake_pages()

    def since(self, position: int, *, limit: int) -> list[LiveEvent] | None:
        """The next events after `position`; None when memory does not reach back that far: the database does."""
        return self._events.since(position, limit=limit)

    async def news(self) -> None:
        """Wait until the feed grows. Whoever has just found nothing, with no `await` in between, misses nothing."""
        await self._bell.wait()

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

    def _extend(self, entries: list[JournalEntry], position: int) -> None:
        for tail in self._tails:
            tail.extend(entries, position)
        self._position = position

    def _wake_pages(self) -> None:
        if self._loop and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._ring)

    def _ring(self) -> None:
        """In the loop of the pages: wake them, and those that wait for news; who comes later waits for the next."""
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()
        if layer := get_channel_layer():
            self._waking = asyncio.ensure_future(layer.group_send(GROUP, {"type": "live.news"}))


feed = Feed()
"""The feed of this process; `swf_site.asgi` starts it."""
