"""`GET /api/messages/stream/`: the journal as server-sent events, in the words of the bus.

An ASGI application of its own and no view: Django would keep a thread for every request that has not ended.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from io import BytesIO
from typing import Any

from channels.db import database_sync_to_async
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.db import Error as DatabaseError

from apps.runs.live.batches import Batches
from apps.runs.live.feed import Feed
from apps.runs.live.listen import database_away
from apps.runs.live.serving import Receive, Send, until_gone
from apps.runs.selectors import newest_position

from ..access import CHALLENGE, AccessRefused, NotAllowed, NotNow, Reader, reader_of
from ..watch import Watch
from .beginning import Gone, position_of, wish_in
from .events import BadQuery, Wish, streamed
from .forms import ServerSentEvents
from .line import Line

# About 100 kB, so much is on its way to a client that does not read.
BATCH = 100
_PROBLEM = b"application/problem+json"


class Refusal(Exception):
    """The request is answered with an error instead of a stream."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        headers: Mapping[bytes, bytes] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        """`fields` are the parameters that are wrong, with the reason."""
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})
        self.fields = dict(fields or {})


class MessageStream:
    """The endpoint, fed by `feed`. One task per client; no thread, and no query as long as it keeps up."""

    def __init__(self, *, feed: Feed) -> None:
        self.feed = feed
        self.tail = feed.attach(streamed)
        self._form = ServerSentEvents()
        self._batches = Batches(self.tail, self._form.packed, limit=BATCH)
        self._watch = Watch(feed)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        try:
            reader, wish, position = await self._admit(scope)
        except Refusal as refusal:
            await _answer(send, refusal)
            return
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            # nginx would hold events back until it has enough of them.
            (b"x-accel-buffering", b"no"),
            (b"x-content-type-options", b"nosniff"),
        ]
        await send({"type": "http.response.start", "status": HTTPStatus.OK.value, "headers": headers})
        line = Line(
            send, form=self._form, feed=self.feed, batches=self._batches, wish=wish, position=position
        )
        try:
            await until_gone(line.run(), receive, self._watch.refusal(reader, scope))
        finally:
            # Whatever has ended it, the client is told so and comes back.
            await send({"type": "http.response.body", "body": b""})

    async def _admit(self, scope: dict[str, Any]) -> tuple[Reader, Wish, int]:
        """Who asks, for what, and the position to go on from.

        Raises:
            Refusal: there is no stream for this request.
        """
        if scope["method"] != "GET":
            raise Refusal(
                HTTPStatus.METHOD_NOT_ALLOWED,
                f"{scope['method']}: a stream is read, by GET",
                {b"allow": b"GET"},
            )
        _check_host(scope)
        try:
            reader, newest = await database_sync_to_async(_look)(scope)
            wish = wish_in(scope, reader)
            return reader, wish, position_of(wish, newest)
        except NotAllowed as error:
            raise Refusal(HTTPStatus.FORBIDDEN, str(error)) from error
        except NotNow as error:
            wait = {b"retry-after": b"%d" % error.wait}
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, str(error), wait) from error
        except AccessRefused as error:
            challenge = {b"www-authenticate": CHALLENGE.encode()}
            raise Refusal(HTTPStatus.UNAUTHORIZED, str(error), challenge) from error
        except BadQuery as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, str(error), fields=error.fields) from error
        except Gone as error:
            raise Refusal(HTTPStatus.GONE, str(error)) from error
        except DatabaseError as error:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE, database_away(error), {b"retry-after": b"2"}
            ) from error


def _look(scope: dict[str, Any]) -> tuple[Reader, int]:
    return reader_of(scope), newest_position()


def _check_host(scope: dict[str, Any]) -> None:
    try:
        ASGIRequest(scope, BytesIO()).get_host()
    except DisallowedHost as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, "this server does not answer under that host name") from error


async def _answer(send: Send, refusal: Refusal) -> None:
    """The error as problem details, as all of REST answers."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": refusal.status.phrase,
        "status": refusal.status.value,
        "detail": str(refusal),
    }
    if refusal.fields:
        body["errors"] = {name: [why] for name, why in refusal.fields.items()}
    headers = [(b"content-type", _PROBLEM), *refusal.headers.items()]
    await send({"type": "http.response.start", "status": refusal.status.value, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
