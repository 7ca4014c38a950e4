"""A WebSocket that sends no events but what they add up to: a digest of the run, whole, not more often than twice a second.

All pages that look at the same digest share its making.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Any

from channels.db import database_sync_to_async
from channels.exceptions import ChannelFull

from ..errors import NotFound
from .consumers import NO_SUCH_RUN, LiveConsumer
from .feed import Feed
from .payloads import LiveEvent

LEAST_SECONDS = 0.5
# What no entry of the journal tells shows at the next tick; until then the digest of a position is as it was made.
HOLDS_SECONDS = 1.0
KEPT = 64

Make = Callable[[int, str], dict[str, Any]]


class Digest:
    """Frames by run, query and position, each made once for all pages.

    `make(run_number, query)` returns what a frame has beside its type and position; it may raise NotFound. `kinds` are the
    journal's entries that change it.
    """

    def __init__(self, name: str, *, kinds: Collection[str], make: Make) -> None:
        self.name = name
        self.kinds = frozenset(kinds)
        self._make = make
        self._made: OrderedDict[tuple[int, str], tuple[int, float, str]] = OrderedDict()
        self._lock = threading.Lock()

    def frame(self, run_number: int, query: str, position: int) -> str:
        """The frame as JSON, with at least what the journal holds up to `position`.

        Raises:
            NotFound: there is no such run, or nothing of the kind that the query asks for.
        """
        key = (run_number, query)
        with self._lock:
            seen, at, text = self._made.get(key, (-1, 0.0, ""))
            if seen >= position and time.monotonic() - at < HOLDS_SECONDS:
                return text
            frame = {"type": self.name, "position": position, **self._make(run_number, query)}
            text = json.dumps(frame)
            self._made[key] = (position, time.monotonic(), text)
            self._made.move_to_end(key)
            if len(self._made) > KEPT:
                self._made.popitem(last=False)
            return text


class DigestConsumer(LiveConsumer):
    """`/ws/<digest>/runs/<number>/?<query>`: a frame when the run has news of the digest's kinds, and whenever a tick finds
    it changed. The page's `cursor` is in the query as everywhere.
    """

    def __init__(self, *, feed: Feed, digest: Digest) -> None:
        super().__init__(feed=feed, content=lambda _: {})
        self._digest = digest
        self._sent_at = 0.0
        self._sent = ""
        self._timer: asyncio.Task[None] | None = None

    async def disconnect(self, code: int) -> None:
        if self._timer:
            self._timer.cancel()
        await super().disconnect(code)

    async def live_tick(self, message: dict[str, Any]) -> None:
        """As everywhere, and a frame if there is something that the journal does not tell."""
        await super().live_tick(message)
        await self._send_frame(only_if_changed=True)

    async def live_digest(self, message: dict[str, Any]) -> None:
        """The pause between two frames is over."""
        self._timer = None
        await self._send_frame()

    async def _send_snapshot(self, position: int) -> None:
        self._position = position
        await self._send_frame()

    async def _deliver(self) -> None:
        news = False
        while events := await self._next_events():
            news = news or any(self._changes_it(event) for event in events)
            self._position = events[-1]["position"]
        pause = self._sent_at + LEAST_SECONDS - time.monotonic()
        if not news or self._timer:
            return
        if pause <= 0:
            await self._send_frame()
        else:
            self._timer = asyncio.create_task(self._send_after(pause))

    async def _send_after(self, pause: float) -> None:
        """Come back by way of the layer, so that frames and news are handled one after the other."""
        await asyncio.sleep(pause)
        try:
            await self.channel_layer.send(self.channel_name, {"type": "live.digest"})
        except ChannelFull:
            self._timer = None  # the next tick shows it

    async def _send_frame(self, *, only_if_changed: bool = False) -> None:
        try:
            frame = await database_sync_to_async(self._digest.frame)(
                self.scope["url_route"]["kwargs"]["run_number"], self._query(), self._position
            )
        except NotFound as error:
            await self.close(NO_SUCH_RUN, str(error))
            return
        if only_if_changed and frame == self._sent:
            return
        self._sent, self._sent_at = frame, time.monotonic()
        await self.send(text_data=frame)

    def _query(self) -> str:
        """What the page asks for, without its cursor: the same for all that look at the same."""
        parts = self.scope["query_string"].decode().split("&")
        return "&".join(sorted(part for part in parts if part and not part.startswith("cursor=")))

    def _changes_it(self, event: LiveEvent) -> bool:
        return event["kind"] in self._digest.kinds and self._concerns(event)
