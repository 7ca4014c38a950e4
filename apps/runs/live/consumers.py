"""The one WebSocket consumer: everything after the page's cursor, in order, once."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from django.db import Error as DatabaseError
from django.utils import timezone

from ..errors import NotFound
from ..selectors import newest_position
from .batches import Batches
from .feed import Feed
from .payloads import LiveEvent, PingFrame, SnapshotFrame
from .serving import Send, close

PING_SECONDS = 5.0
# About 50 kB, so much is on its way to a page that does not read.
BATCH = 100
# Whoever is further behind is better served by a new snapshot.
MOST_BEHIND = 10_000

# Codes from 4000 on are the application's; pages give up on these two and come back on every other.
BAD_CURSOR = 4400
NOT_FOUND = 4404
TRY_AGAIN_LATER = 1013
# What fits into its column.
_POSITION = re.compile(r"\d{1,18}")

Content = Callable[[int | None], dict[str, Any]]


class Refused(Exception):
    """The connection is closed with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class LiveConsumer:
    """`/ws/live/` sends all events, `/ws/live/runs/<number>/` those of the run and those without one (agents, parked
    messages).

    With `?cursor=N` the page has everything up to position N and is sent what follows; without, or when it is too far
    behind, it is sent a snapshot first. The order is: hang up the bell, read the position, read the content, send; so what
    is committed meanwhile is sent as an event, and applying an event that the snapshot holds already must change nothing.

    One task per page does all of it, one thing after the other, and waits for a page that reads slowly: `send` does.
    """

    # Whether other parameters than the cursor are for the content.
    asks_more = False

    def __init__(
        self,
        scope: dict[str, Any],
        send: Send,
        *,
        feed: Feed,
        batches: Batches[LiveEvent, int | None, Any],
        content: Content,
    ) -> None:
        """`content` makes a snapshot's content: of a run, or (None) of the list of runs. It may raise NotFound."""
        self._feed = feed
        self._batches = batches
        self._content = content
        self._out = send
        self._query = scope["query_string"].decode()
        self._run_number: int | None = scope["url_route"]["kwargs"].get("run_number")
        self._position = 0
        self._ping_at = 0.0

    async def run(self) -> None:
        """Serve the page until it has to be closed; whoever runs it ends it when the page has gone."""
        try:
            await self._out({"type": "websocket.accept"})
            await self._serve()
        except Refused as refused:
            await close(self._out, refused.code, str(refused))
        except NotFound as error:
            await close(self._out, NOT_FOUND, str(error))
        except DatabaseError:
            # The page comes back with its cursor.
            await close(self._out, TRY_AGAIN_LATER, "the database does not answer")

    async def _serve(self) -> None:
        now = asyncio.get_running_loop().time
        with self._feed.bell() as bell:
            await self._begin()
            self._ping_at = now() + PING_SECONDS
            while True:
                await self._deliver()
                if now() >= self._ping_at:
                    await self._tick()
                    self._ping_at = now() + PING_SECONDS
                await bell.wait(self._next_at())

    async def _begin(self) -> None:
        """Take the page's cursor, or send a snapshot."""
        named = parse_qs(self._query, keep_blank_values=True)
        if not self.asks_more and (unknown := sorted(set(named) - {"cursor"})):
            raise Refused(BAD_CURSOR, f"there is no parameter {unknown[0][:40]!r} here; there is cursor")
        asked = named.get("cursor", [""])[0]
        if asked and not _POSITION.fullmatch(asked):
            raise Refused(BAD_CURSOR, f"cursor={asked!r} is not a position")
        newest = await database_sync_to_async(newest_position)()
        if asked and newest - MOST_BEHIND <= int(asked) <= newest:
            self._position = int(asked)
        else:
            await self._send_snapshot(newest)

    async def _deliver(self) -> None:
        """Send everything after the cursor and move it."""
        while batch := await self._batches.after(self._position, self._run_number):
            if batch.body:
                await self._take(batch.body)
            self._position = batch.position
            if self._batches.ends_at(self._position):
                break
            # Others are served too while one catches up.
            await asyncio.sleep(0)

    async def _take(self, body: Any) -> None:
        """A batch has come that has something for the page."""
        await self._send(body)

    async def _tick(self) -> None:
        """Show that the line is up."""
        waits_for = await self._feed.trouble()
        now = timezone.now().isoformat()
        ping = PingFrame(type="ping", position=self._position, now=now, waits_for=waits_for)
        await self._send(json.dumps(ping))

    def _next_at(self) -> float:
        """When there is something to do though there is no news, by the loop's clock."""
        return self._ping_at

    async def _send_snapshot(self, position: int) -> None:
        content = await database_sync_to_async(self._content)(self._run_number)
        await self._send(json.dumps(SnapshotFrame(type="snapshot", position=position, content=content)))
        self._position = position

    async def _send(self, text: str) -> None:
        await self._out({"type": "websocket.send", "text": text})
