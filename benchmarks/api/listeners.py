"""Clients of the live feed that cost next to nothing: sockets in one loop, and one search through what comes.

They read no HTTP and no frames: an event is known by its subject, `event-<number>`, which is in the text of both transports.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

STREAM = "/api/messages/stream/"
# What is asked for, and by what a client knows that it was let in.
TRANSPORTS: Mapping[str, tuple[str, bytes]] = {
    "sse": (STREAM + "?last_event_id={cursor}", b"event: connected"),
    "websocket": ("/ws/live/?cursor={cursor}", b"101 Switching Protocols"),
}
_UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
_EVENT = re.compile(rb'"subject": ?"event-(\d+)"')
_LONGEST = 64
_AT_ONCE = 20


class Listener(asyncio.Protocol):
    """A client: `heard` has the number of each event that came, and when (monotonic ns)."""

    def __init__(self, request: bytes, welcome: bytes) -> None:
        self.heard: list[tuple[int, int]] = []
        self.welcomed = asyncio.Event()
        self._request = request
        self._welcome = welcome
        self._rest = b""
        self._news = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        text = self._rest + data
        if not self.welcomed.is_set():
            if self._welcome not in text:
                self._rest = text
                return
            self.welcomed.set()
        end = 0
        for found in _EVENT.finditer(text):
            self.heard.append((int(found[1]), now))
            end = found.end()
        # An event may be cut in two.
        self._rest = text[max(end, len(text) - _LONGEST) :]
        self._news.set()

    async def until(self, count: int) -> None:
        """Wait until so many events have come."""
        while len(self.heard) < count:
            self._news.clear()
            await self._news.wait()


@asynccontextmanager
async def connected(
    transport: str, url: str, *, count: int, token: str, cursor: int, patience: float
) -> AsyncIterator[list[Listener]]:
    """So many clients, all of them let in, that are sent what follows the position `cursor`.

    Raises:
        TimeoutError: they were not let in within `patience` seconds.
    """
    path, welcome = TRANSPORTS[transport]
    request = _request(url, path.format(cursor=cursor), token, _UPGRADE if transport == "websocket" else "")
    listeners: list[Listener] = []
    connections: list[asyncio.BaseTransport] = []
    try:
        async with asyncio.timeout(patience):
            while len(listeners) < count:
                size = min(_AT_ONCE, count - len(listeners))
                made = await asyncio.gather(*(_connect(url, request, welcome) for _ in range(size)))
                connections += [connection for connection, _ in made]
                listeners += [listener for _, listener in made]
                for _, listener in made:
                    await listener.welcomed.wait()
        yield listeners
    finally:
        for connection in connections:
            connection.close()


async def newest_position(url: str, token: str) -> int:
    """The position with which the stream greets."""
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    try:
        writer.write(_request(url, STREAM, token, ""))
        await reader.readuntil(b"event: connected\nid: ")
        return int(await reader.readline())
    finally:
        writer.close()


async def _connect(url: str, request: bytes, welcome: bytes) -> tuple[asyncio.BaseTransport, Listener]:
    at = urlsplit(url)
    loop = asyncio.get_running_loop()
    return await loop.create_connection(lambda: Listener(request, welcome), at.hostname, at.port)


def _request(url: str, path: str, token: str, more: str) -> bytes:
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    host = f"Host: {urlsplit(url).netloc}\r\nOrigin: {url}\r\n"
    return f"GET {path} HTTP/1.1\r\n{host}{bearer}{more}\r\n".encode()
