"""Paths of the WebSocket."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from channels.routing import URLRouter
from django.urls import path

from .consumers import Content, LiveConsumer
from .digest import Digest, DigestConsumer
from .feed import Feed


def websocket_router(*, feed: Feed, content: Content, digests: Iterable[Digest] = ()) -> URLRouter:
    """The live paths, fed by `feed`; `content` makes the content of snapshots, each digest has a path of its own."""
    consumer = LiveConsumer.as_asgi(feed=feed, content=content)
    # The types of `path` know views only, those of the router its own patterns.
    routes: list[Any] = [
        path("ws/live/", consumer),  # type: ignore[arg-type]
        path("ws/live/runs/<int:run_number>/", consumer),  # type: ignore[arg-type]
    ]
    for digest in digests:
        at = f"ws/{digest.name}/runs/<int:run_number>/"
        routes.append(path(at, DigestConsumer.as_asgi(feed=feed, digest=digest)))  # type: ignore[arg-type]
    return URLRouter(routes)
