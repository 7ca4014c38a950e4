"""How the stream goes out: as server-sent events, or as the frames of a WebSocket."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from apps.runs.live.batches import Batch
from apps.runs.live.serving import Send

from .events import Streamed, Wish

RETRY_MILLISECONDS = 2000
Body = TypeVar("Body")


class Form(ABC, Generic[Body]):
    """What a client is sent, and how. All of it carries the position to go on from."""

    @abstractmethod
    def greeting(self, client_id: str, position: int) -> Body:
        """The first word."""

    @abstractmethod
    def events(self, events: list[Streamed], position: int) -> Body:
        """At least one event."""

    @abstractmethod
    def beat(self, waits_for: str, position: int) -> Body:
        """What shows that the line is up, with the reason why news may be late.

        It moves what a client goes on from, though its filters have let nothing through, and is no event.
        """

    @abstractmethod
    async def write(self, send: Send, body: Body) -> None:
        """Send it."""

    def packed(self, events: list[Streamed], wish: Wish) -> Batch[Body]:
        """What is wished of these events."""
        position = events[-1].position
        wished = [event for event in events if wish.covers(event)]
        return Batch(position, self.events(wished, position) if wished else None)


class ServerSentEvents(Form[bytes]):
    """Blocks of `text/event-stream`."""

    def greeting(self, client_id: str, position: int) -> bytes:
        told = json.dumps({"client_id": client_id, "status": "connected", "position": position})
        return f"retry: {RETRY_MILLISECONDS}\n".encode() + _block("connected", position, told)

    def events(self, events: list[Streamed], position: int) -> bytes:
        return b"".join(_block(event.kind, event.position, event.data) for event in events)

    def beat(self, waits_for: str, position: int) -> bytes:
        return f": {' '.join(waits_for.split()) or 'heartbeat'}\nid: {position}\n\n".encode()

    async def write(self, send: Send, body: bytes) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": True})


class Frames(Form[str]):
    """JSON objects with a `type` and the `position`."""

    def greeting(self, client_id: str, position: int) -> str:
        return _frame("connected", position, client_id=client_id)

    def events(self, events: list[Streamed], position: int) -> str:
        told = ", ".join(
            f'{{"event": {json.dumps(event.kind)}, "id": {event.position}, "data": {event.data}}}'
            for event in events
        )
        return f'{{"type": "events", "position": {position}, "events": [{told}]}}'

    def beat(self, waits_for: str, position: int) -> str:
        return _frame("ping", position, waits_for=waits_for)

    async def write(self, send: Send, body: str) -> None:
        await send({"type": "websocket.send", "text": body})


def _block(kind: str, position: int, data: str) -> bytes:
    return f"event: {kind}\nid: {position}\ndata: {data}\n\n".encode()


def _frame(kind: str, position: int, **more: Any) -> str:
    return json.dumps({"type": kind, "position": position, **more})
