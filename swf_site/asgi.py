"""The web process: pages, REST and the message stream over HTTP, the live feed over WebSocket."""

from __future__ import annotations

from .application import application

from apps.runs.live.feed import feed  # isort: skip # only now are there models

__all__ = ["application"]
feed.start()
