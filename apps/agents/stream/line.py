"""One open stream: everything after its position that its client wishes, in order, once, as fast as the client reads."""

from __future__ import annotations

import asyncio
from typing import Generic
from uuid import uuid4

from django.db import Error as DatabaseError

from apps.runs.live.batches import Batches
from apps.runs.live.feed import Feed
from apps.runs.live.serving import Send

from .events import Streamed, Wish
from .forms import Body, Form

HEARTBEAT_SECONDS = 10.0
_DATABASE_RETRY_SECONDS = 1.0


class Line(Generic[Body]):
    """Sends one client its events. Whoever runs it ends it when the client leaves, or may not read any more."""

    def __init__(
        self,
        send: Send,
        *,
        form: Form[Body],
        feed: Feed,
        batches: Batches[Streamed, Wish, Body],
        wish: Wish,
        position: int,
    ) -> None:
        self._send = send
        self._form = form
        self._feed = feed
        self._batches = batches
        self._wish = wish
        self._position = position
        self._beat_at = 0.0

    async def run(self) -> None:
        """Greet the client, then send for ever, and wait where it reads slowly: `send` does."""
        loop = asyncio.get_running_loop()
        with self._feed.bell() as bell:
            await self._write(self._form.greeting(str(uuid4()), self._position))
            while True:
                behind = await self._forward()
                if loop.time() >= self._beat_at:
                    await self._beat()
                # Others are served too while one catches up.
                await (asyncio.sleep(0) if behind else bell.wait(self._beat_at))

    async def _forward(self) -> bool:
        """Send what follows, at most a batch; True when there may be more."""
        try:
            batch = await self._batches.after(self._position, self._wish)
        except DatabaseError:
            # The heartbeat says why.
            await asyncio.sleep(_DATABASE_RETRY_SECONDS)
            return True
        if batch is None:
            return False
        if batch.body:
            await self._write(batch.body)
        self._position = batch.position
        return not self._batches.ends_at(batch.position)

    async def _beat(self) -> None:
        await self._write(self._form.beat(await self._feed.trouble(), self._position))

    async def _write(self, body: Body) -> None:
        await self._form.write(self._send, body)
        self._beat_at = asyncio.get_running_loop().time() + HEARTBEAT_SECONDS
