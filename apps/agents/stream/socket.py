"""`/ws/messages/`: the message stream over a WebSocket. The same events, filters and positions; nothing is kept for it."""

from __future__ import annotations

from typing import Any

from channels.db import database_sync_to_async
from django.db import Error as DatabaseError

from apps.runs.live.batches import Batches
from apps.runs.live.consumers import TRY_AGAIN_LATER
from apps.runs.live.serving import Receive, Send, close, until_gone
from apps.runs.selectors import newest_position

from ..access import NotAllowed
from .beginning import Gone, position_of, wish_in
from .endpoint import BATCH, MessageStream
from .events import BadQuery, Wish
from .forms import Frames
from .line import Line

# As over HTTP, with 4000 more: codes from 4000 on are the application's.
_CODES: dict[type[Exception], int] = {
    BadQuery: 4400,
    NotAllowed: 4403,
    Gone: 4410,
    DatabaseError: TRY_AGAIN_LATER,
}


class MessageSocket:
    """The endpoint, beside that of the stream. Who reads is in the scope, as `reader`: whoever let the client in has looked,
    and ends it when it may read no more."""

    def __init__(self, stream: MessageStream) -> None:
        self._feed = stream.feed
        self._form = Frames()
        self._batches = Batches(stream.tail, self._form.packed, limit=BATCH)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await until_gone(self._serve(scope, send), receive)

    async def _serve(self, scope: dict[str, Any], send: Send) -> None:
        await send({"type": "websocket.accept"})
        try:
            wish, position = await _begin(scope)
        except tuple(_CODES) as error:
            reason = "the database does not answer" if isinstance(error, DatabaseError) else str(error)
            code = next(code for kind, code in _CODES.items() if isinstance(error, kind))
            await close(send, code, reason)
            return
        await Line(
            send, form=self._form, feed=self._feed, batches=self._batches, wish=wish, position=position
        ).run()


async def _begin(scope: dict[str, Any]) -> tuple[Wish, int]:
    wish = wish_in(scope, scope["reader"])
    return wish, position_of(wish, await database_sync_to_async(newest_position)())
