"""One open stream: everything after its position that its client wishes, in order, once, as fast as the client reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Protocol
from uuid import uuid4

from channels.db import database_sync_to_async
from django.db import Error as DatabaseError
from django.utils import timezone

from apps.runs.live.feed import Feed
from apps.runs.live.tail import Tail
from apps.runs.selectors import entries_after

from ..access import Reader
from .events import Streamed, Wish, beat, frame, streamed

HEARTBEAT_SECONDS = 10.0
# After so long without reading anything, a client counts as gone. It comes back with its position.
PATIENCE_SECONDS = 60.0
RETRY_MILLISECONDS = 2000
# About 100 kB, so much is on its way to a client that does not read.
BATCH = 100
_DATABASE_RETRY_SECONDS = 1.0

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Pace(Protocol):
    """How fast the client reads, as the web server knows it (`swf_site.web`)."""

    async def free(self) -> None:
        """Wait until what was sent is on its way."""

    def end(self) -> None:
        """Nothing more is sent, or nobody is there any more."""

    def abort(self) -> None:
        """Drop the connection with what is still waiting to be sent."""


class Line:
    """Sends one client its events. Ends when the token does; whoever runs it ends it when the client leaves."""

    def __init__(
        self,
        send: Send,
        pace: Pace | None,
        *,
        feed: Feed,
        tail: Tail[Streamed],
        reader: Reader,
        wish: Wish,
        position: int,
    ) -> None:
        self._send = send
        self._pace = pace
        self._feed = feed
        self._tail = tail
        self._reader = reader
        self._wish = wish
        self._position = position
        self._beat_at = 0.0
        self._trouble = ""

    async def run(self) -> None:
        """Greet the client, then send until the token ends or the client does not read."""
        greeting = {"client_id": str(uuid4()), "status": "connected", "position": self._position}
        await self._write(
            f"retry: {RETRY_MILLISECONDS}\n".encode() + frame("connected", greeting, position=self._position)
        )
        try:
            while not self._has_expired():
                events = await self._next_events()
                if not await self._forward(events):
                    return
                if asyncio.get_running_loop().time() >= self._beat_at:
                    await self._beat()
                if not events:
                    await self._wait()
        except TimeoutError:
            if self._pace:
                self._pace.abort()

    async def _next_events(self) -> list[Streamed]:
        """What follows, at most a batch; nothing when there is no more, or the database does not answer."""
        events = self._tail.since(self._position, limit=BATCH)
        if events is not None:
            return events
        try:
            return await database_sync_to_async(_read)(self._position)
        except DatabaseError:
            # The heartbeat says why.
            await asyncio.sleep(_DATABASE_RETRY_SECONDS)
            return []

    async def _forward(self, events: list[Streamed]) -> bool:
        """Send what is wished of these; False when they take the reader's token away."""
        revoked = next(
            (event for event in events if event.revoked and event.revoked == self._reader.token_id), None
        )
        if revoked:
            return False
        if wished := [event.frame for event in events if self._wish.covers(event)]:
            await self._write(b"".join(wished))
        if events:
            self._position = events[-1].position
            # Others are served too while one catches up.
            await asyncio.sleep(0)
        return True

    async def _beat(self) -> None:
        trouble = await database_sync_to_async(self._feed.trouble)()
        await self._write(beat(" ".join(trouble.split()), position=self._position))

    async def _wait(self) -> None:
        """Until there is news, the next heartbeat is due or the token ends. A wake-up that is lost costs a heartbeat."""
        until = self._beat_at
        if self._reader.expires_at:
            left = (self._reader.expires_at - timezone.now()).total_seconds()
            until = min(until, asyncio.get_running_loop().time() + left)
        try:
            async with asyncio.timeout_at(until):
                await self._feed.news()
        except TimeoutError:
            pass

    async def _write(self, body: bytes) -> None:
        """Send, and wait until the client has room for more.

        Raises:
            TimeoutError: it reads nothing.
        """
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        if self._pace:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._pace.free()
        self._beat_at = asyncio.get_running_loop().time() + HEARTBEAT_SECONDS

    def _has_expired(self) -> bool:
        end: datetime | None = self._reader.expires_at
        return end is not None and end <= timezone.now()


def _read(position: int) -> list[Streamed]:
    return [streamed(entry) for entry in entries_after(position, limit=BATCH)]
