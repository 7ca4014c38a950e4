"""Paths of the WebSocket."""

from __future__ import annotations

from django.urls import URLPattern, path

from .consumers import Content, LiveConsumer
from .feed import Feed


def websocket_urls(*, feed: Feed, content: Content) -> list[URLPattern]:
    """The live paths, fed by `feed`; `content` makes the content of snapshots."""
    consumer = LiveConsumer.as_asgi(feed=feed, content=content)
    return [
        path("ws/live/", consumer),  # type: ignore[arg-type]
        path("ws/live/runs/<int:run_number>/", consumer),  # type: ignore[arg-type]
    ]
