"""Paths of the WebSocket."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from channels.routing import URLRouter
from django.urls import path, re_path

from .batches import Batches
from .consumers import BATCH, NOT_FOUND, Content, LiveConsumer
from .digest import Digest, DigestConsumer
from .feed import Feed
from .payloads import packed
from .serving import Receive, Send, open_to_close, until_gone

Consumer = Callable[[dict[str, Any], Send], LiveConsumer]


def websocket_router(*, feed: Feed, content: Content, digests: Iterable[Digest] = ()) -> URLRouter:
    """The live paths, fed by `feed`; `content` makes the content of snapshots, each digest has a path of its own."""
    batches = Batches(feed.events, packed, limit=BATCH)

    def page(scope: dict[str, Any], send: Send) -> LiveConsumer:
        return LiveConsumer(scope, send, feed=feed, batches=batches, content=content)

    # The types of the router know its own patterns only.
    routes: list[Any] = [
        path("ws/live/", _served(page)),
        path("ws/live/runs/<int:run_number>/", _served(page)),
    ]
    for digest in digests:
        at = f"ws/{digest.name}/runs/<int:run_number>/"
        routes.append(path(at, _served(_of_digest(feed, digest))))
    routes.append(re_path("", _nothing))  # type: ignore[arg-type]
    return URLRouter(routes)


def _of_digest(feed: Feed, digest: Digest) -> Consumer:
    batches = Batches(feed.events, digest.packed, limit=BATCH)
    return lambda scope, send: DigestConsumer(scope, send, feed=feed, batches=batches, digest=digest)


def _served(consumer: Consumer) -> Callable[[dict[str, Any], Receive, Send], Any]:
    """The ASGI application that makes a consumer for each WebSocket."""

    async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await until_gone(consumer(scope, send).run(), receive)

    return application


async def _nothing(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Any other path."""
    await open_to_close(receive, send, NOT_FOUND, f"there is no WebSocket at {scope['path']}")
