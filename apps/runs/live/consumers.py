"""The one WebSocket consumer: everything after the page's cursor, in order, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.exceptions import ChannelFull
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.db import Error as DatabaseError
from django.utils import timezone

from ..errors import NotFound
from ..selectors import entries_after, newest_position
from .feed import BATCH, GROUP, Feed
from .payloads import EventsFrame, LiveEvent, PingFrame, SnapshotFrame, live_event

PING_SECONDS = 5.0
# Whoever is further behind is better served by a new snapshot.
MOST_BEHIND = 10_000

# Codes from 4000 on are the application's; pages give up on these two and come back on every other.
BAD_CURSOR = 4400
NO_SUCH_RUN = 4404
TRY_AGAIN_LATER = 1013

Content = Callable[[int | None], dict[str, Any]]


class LiveConsumer(AsyncJsonWebsocketConsumer):
    """`/ws/live/` sends all events, `/ws/live/runs/<number>/` those of the run and those without one (agents, parked
    messages).

    With `?cursor=N` the page has everything up to position N and is sent what follows; without, or when it is too far
    behind, it is sent a snapshot first. The order is: join the group, read the position, read the content, send; so what
    is committed meanwhile is sent as an event, and applying an event that the snapshot holds already must change nothing.
    """

    def __init__(self, *, feed: Feed, content: Content) -> None:
        """`content` makes a snapshot's content: of a run, or (None) of the list of runs. It may raise NotFound."""
        super().__init__()
        self._feed = feed
        self._content = content
        self._position = 0
        self._run_number: int | None = None
        self._ticking: asyncio.Task[None] | None = None

    async def dispatch(self, message: dict[str, Any]) -> None:
        """As everywhere, but a database that is away ends the connection: the page comes back with its cursor."""
        try:
            await super().dispatch(message)
        except DatabaseError:
            await self.close(TRY_AGAIN_LATER)

    async def connect(self) -> None:
        self._run_number = self.scope["url_route"]["kwargs"].get("run_number")
        self._feed.wake_on(asyncio.get_running_loop())
        await self.channel_layer.group_add(GROUP, self.channel_name)
        await self.accept()
        asked = parse_qs(self.scope["query_string"].decode()).get("cursor", [""])[0]
        if asked and not asked.isdecimal():
            await self.close(BAD_CURSOR, f"cursor={asked!r} is not a position")
            return
        newest = await database_sync_to_async(newest_position)()
        if asked and newest - MOST_BEHIND <= int(asked) <= newest:
            self._position = int(asked)
        else:
            try:
                await self._send_snapshot(newest)
            except NotFound as error:
                await self.close(NO_SUCH_RUN, str(error))
                return
        await self._deliver()
        self._ticking = asyncio.create_task(self._tick_for_ever())

    async def disconnect(self, code: int) -> None:
        if self._ticking:
            self._ticking.cancel()
        await self.channel_layer.group_discard(GROUP, self.channel_name)

    async def live_news(self, message: dict[str, Any]) -> None:
        """The feed has grown."""
        await self._deliver()

    async def live_tick(self, message: dict[str, Any]) -> None:
        """Show that the line is up, and look whether a wake-up was missed."""
        # The layer forgets members: after a day, and whenever one was slow to read.
        await self.channel_layer.group_add(GROUP, self.channel_name)
        await self._deliver()
        waits_for = await database_sync_to_async(self._feed.trouble)()
        now = timezone.now().isoformat()
        await self.send_json(PingFrame(type="ping", position=self._position, now=now, waits_for=waits_for))

    async def _tick_for_ever(self) -> None:
        """Tick by way of the layer, so that ticks and news are handled one after the other."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            try:
                await self.channel_layer.send(self.channel_name, {"type": "live.tick"})
            except ChannelFull:
                continue  # it has news to handle; that shows life as well

    async def _send_snapshot(self, position: int) -> None:
        content = await database_sync_to_async(self._content)(self._run_number)
        await self.send_json(SnapshotFrame(type="snapshot", position=position, content=content))
        self._position = position

    async def _deliver(self) -> None:
        """Send everything after the cursor and move it."""
        while events := await self._next_events():
            shown = [event for event in events if self._concerns(event)]
            position = events[-1]["position"]
            if shown:
                await self.send_json(EventsFrame(type="events", position=position, events=shown))
            self._position = position

    async def _next_events(self) -> list[LiveEvent]:
        events = self._feed.since(self._position, limit=BATCH)
        return await database_sync_to_async(_read)(self._position) if events is None else events

    def _concerns(self, event: LiveEvent) -> bool:
        return self._run_number is None or event["run_number"] in {None, self._run_number}


def _read(position: int) -> list[LiveEvent]:
    return [live_event(entry) for entry in entries_after(position, limit=BATCH)]
