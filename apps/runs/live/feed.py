"""The newest journal entries in the memory of a web process, so that a hundred open pages cost one query.

One thread listens to the relay's "sequenced up to here", reads what is new and rings the bells of pages and streams. A bell
says nothing but "look": each reads on from its own cursor, here or, when it is further behind, in the database. So a ring
may be dropped, doubled or late, and no event is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from channels.db import database_sync_to_async
from django.db import Error as DatabaseError
from django.utils import timezone

from ..models import JournalEntry
from ..selectors import entries_after, newest_position, unsequenced_since
from .channel import LIVE_CHANNEL
from .listen import Listener, database_away
from .payloads import live_event
from .tail import Tail

BATCH = 500
RELAY_IS_LATE = timedelta(seconds=3)
_TROUBLE_HOLDS_SECONDS = 4.0
Item = TypeVar("Item")


class Bell:
    """Wakes one client. What rings while it is not waiting is not lost: its next wait ends at once."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None

    def ring(self) -> None:
        """There is news."""
        self._rung.set()

    async def wait(self, until: float) -> None:
        """Wait for news, at most until about `until` (of the loop's clock); it may be for less without a reason."""
        if self._alarm is None or self._alarm.when() > until:
            self.silence()
            # It stays when there is news before: to set it each time would cost more than to wake up once in vain.
            self._alarm = asyncio.get_running_loop().call_at(until, self._remind)
        await self._rung.wait()
        self._rung.clear()

    def silence(self) -> None:
        """Nobody waits any more."""
        if self._alarm:
            self._alarm.cancel()

    def _remind(self) -> None:
        self._alarm = None
        self._rung.set()


class Feed:
    """The shared tail of the journal. Filled by its own thread, read by the event loop."""

    def __init__(self) -> None:
        self.listener = self._new_listener()
        self.events = Tail(live_event)
        self._tails: list[Tail[Any]] = [self.events]
        self._heeded: list[tuple[frozenset[str], Callable[[str], None]]] = []
        self._position: int | None = None
        self._bells: set[Bell] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._trouble = ""
        self._trouble_until = 0.0

    def start(self) -> None:
        """Start listening. The thread survives the database; it ends with the process or with `stop`."""
        # Anew: a thread that was made before a process divides counts as ended after that.
        self.listener = self._new_listener()
        self.listener.start()

    def stop(self) -> None:
        """End the thread."""
        self.listener.stop()
        if self.listener.is_alive():
            self.listener.join()

    def wake_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Pages of this process live in `loop`: wake them there."""
        self._loop = loop

    def attach(self, make: Callable[[JournalEntry], Item]) -> Tail[Item]:
        """Keep the journal's tail in this form too: the same entries, read by the same query."""
        tail = Tail(make)
        self._tails = [*self._tails, tail]
        return tail

    def heed(self, kinds: Collection[str], told: Callable[[str], None]) -> None:
        """Have `told` called in the loop of the pages, with the subject, for each new entry of one of these kinds."""
        self._heeded = [*self._heeded, (frozenset(kinds), told)]

    @contextmanager
    def bell(self) -> Iterator[Bell]:
        """A bell that rings in the running loop whenever the feed grows."""
        self.wake_on(asyncio.get_running_loop())
        bell = Bell()
        self._bells.add(bell)
        try:
            yield bell
        finally:
            self._bells.discard(bell)
            bell.silence()

    def catch_up(self) -> None:
        """Read everything that was sequenced since, and wake the pages."""
        position = self._position
        if position is None:
            position = newest_position()
        self._extend([], position)
        more = True
        while more:
            entries = entries_after(position, limit=BATCH)
            if entries:
                position = entries[-1].position or position
                self._extend(entries, position)
            more = len(entries) == BATCH
        self._wake_pages()

    async def trouble(self) -> str:
        """Why news may be late, "" if it is not. Asks the database, once every few seconds for all pages."""
        now = time.monotonic()
        if now > self._trouble_until:
            # Whoever asks meanwhile is told what was so before.
            self._trouble_until = now + _TROUBLE_HOLDS_SECONDS
            self._trouble = await database_sync_to_async(self._find_trouble)()
        return self._trouble

    def _new_listener(self) -> Listener:
        return Listener(LIVE_CHANNEL, lambda _: self.catch_up())

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
        for kinds, told in self._heeded:
            for subject in {entry.subject for entry in entries if entry.kind in kinds}:
                self._in_loop(told, subject)

    def _wake_pages(self) -> None:
        self._in_loop(self._ring)

    def _in_loop(self, call: Callable[..., None], *arguments: object) -> None:
        if self._loop and self._loop.is_running():
            self._loop.call_soon_threadsafe(call, *arguments)

    def _ring(self) -> None:
        for bell in self._bells:
            bell.ring()


feed = Feed()
"""The feed of this process; `swf_site.asgi` starts it."""
