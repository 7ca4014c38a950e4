"""A WebSocket that sends no events but what they add up to: a digest of the run, whole, at most twice a second.

All pages that look at the same digest share its making.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from channels.db import database_sync_to_async

from .batches import Batch, Batches
from .consumers import LiveConsumer
from .feed import Feed
from .payloads import LiveEvent, concerns
from .serving import Send

LEAST_SECONDS = 0.5
# Making a digest of a long run takes long. It is made less often then, so that this process spends no more of its time on
# it, and the database no more than half of its own.
MOST_CPU_SHARE = 0.2
# What no entry of the journal tells shows at the next tick; until then the digest of a position is as it was made.
HOLDS_SECONDS = 1.0
KEPT = 64

Make = Callable[[int, str], dict[str, Any]]


@dataclass(frozen=True)
class Frame:
    """A frame as JSON: it holds what the journal has up to `position`, and was made at `at` (monotonic seconds)."""

    text: str
    position: int
    at: float


class Digest:
    """Frames by run and query, each made once for all pages.

    `make(run_number, query)` returns what a frame has beside its type and position; it may raise NotFound. `kinds` are the
    journal's entries that change it.
    """

    def __init__(self, name: str, *, kinds: Collection[str], make: Make) -> None:
        self.name = name
        self.kinds = frozenset(kinds)
        self._make = make
        self._made: OrderedDict[tuple[int, str], Frame] = OrderedDict()
        self._lock = threading.Lock()
        # Seconds between two frames of the same kind at the least, as costly as the last was.
        self.pause = LEAST_SECONDS

    def frame(self, run_number: int, query: str, position: int) -> Frame:
        """The newest frame, made anew if it lacks something up to `position` and the last is not too recent for that.

        Raises:
            NotFound: there is no such run, or nothing of the kind that the query asks for.
        """
        key = (run_number, query)
        with self._lock:
            if (last := self._made.get(key)) and self._serves(last, position):
                return last
            begun, cpu_before = time.monotonic(), time.thread_time()
            content = {"type": self.name, "position": position, **self._make(run_number, query)}
            frame = Frame(json.dumps(content), position, time.monotonic())
            cpu_seconds = time.thread_time() - cpu_before
            self.pause = max(LEAST_SECONDS, frame.at - begun, cpu_seconds / MOST_CPU_SHARE)
            self._made[key] = frame
            self._made.move_to_end(key)
            if len(self._made) > KEPT:
                self._made.popitem(last=False)
            return frame

    def packed(self, events: list[LiveEvent], run_number: int | None) -> Batch[int]:
        """Of these events, the position of the last that changes the digest of the run."""
        news = [
            event["position"]
            for event in events
            if event["kind"] in self.kinds and concerns(event, run_number)
        ]
        return Batch(events[-1]["position"], news[-1] if news else None)

    def _serves(self, last: Frame, position: int) -> bool:
        age = time.monotonic() - last.at
        return age < self.pause or (last.position >= position and age < HOLDS_SECONDS)


class DigestConsumer(LiveConsumer):
    """`/ws/<digest>/runs/<number>/?<query>`: a frame when the run has news of the digest's kinds, and whenever a tick finds
    it changed. The page's `cursor` is in the query as everywhere.

    Pages of the same query wait for the same moment: whichever comes first has the frame made.
    """

    asks_more = True

    def __init__(
        self,
        scope: dict[str, Any],
        send: Send,
        *,
        feed: Feed,
        batches: Batches[LiveEvent, int | None, int],
        digest: Digest,
    ) -> None:
        """`batches` are packed by the digest."""
        super().__init__(scope, send, feed=feed, batches=batches, content=lambda _: {})
        self._digest = digest
        self._run: int = scope["url_route"]["kwargs"]["run_number"]
        self._news_at = 0
        self._sent = ""
        self._frame_at: float | None = None

    async def _tick(self) -> None:
        """As everywhere, and a frame if there is something that the journal does not tell."""
        await super()._tick()
        await self._send_frame()

    def _next_at(self) -> float:
        return min(self._ping_at, self._frame_at or self._ping_at)

    async def _send_snapshot(self, position: int) -> None:
        self._position = position
        await self._send_frame()

    async def _deliver(self) -> None:
        before = self._news_at
        await super()._deliver()
        # The frame that is waited for will have this, too.
        due = self._news_at > before if self._frame_at is None else time.monotonic() >= self._frame_at
        if due:
            self._frame_at = None
            await self._send_frame()

    async def _take(self, body: int) -> None:
        self._news_at = body

    async def _send_frame(self) -> None:
        """Send the newest frame, unless the page has it; if it lacks what is known already, another as soon as may be."""
        frame = await database_sync_to_async(self._digest.frame)(
            self._run, self._shared_query(), self._position
        )
        if frame.text != self._sent:
            self._sent = frame.text
            await self._send(frame.text)
        if frame.position < self._news_at and self._frame_at is None:
            # The loop's clock is this one.
            self._frame_at = max(time.monotonic(), frame.at + self._digest.pause)

    def _shared_query(self) -> str:
        """What the page asks for, without its cursor: the same for all that look at the same."""
        parts = self._query.split("&")
        return "&".join(sorted(part for part in parts if part and not part.startswith("cursor=")))
