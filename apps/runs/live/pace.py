"""Sending to one client no faster than it reads, so that one which has stopped reading costs no memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

# After so long without reading anything, a client counts as gone. It comes back with its position.
PATIENCE_SECONDS = 60.0
PACE = "swf.pace"

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class TooSlow(Exception):
    """The client has read nothing for too long."""


class Pace(Protocol):
    """How fast the client reads, as the web server knows it (`swf_site.web`)."""

    def is_free(self) -> bool:
        """Whether what was sent is on its way."""

    async def free(self) -> None:
        """Wait until it is."""

    def end(self) -> None:
        """Nothing more is sent, or nobody is there any more."""

    def abort(self) -> None:
        """Drop the connection with what is still waiting to be sent."""


class Outlet:
    """The way to one client."""

    def __init__(self, scope: dict[str, Any], send: Send) -> None:
        self.pace: Pace | None = scope.get("extensions", {}).get(PACE)
        self._send = send

    async def send(self, message: dict[str, Any]) -> None:
        """Send an ASGI message, and wait until the client has room for more.

        Raises:
            TooSlow: it reads nothing.
        """
        await self._send(message)
        if self.pace is None or self.pace.is_free():
            return
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self.pace.free()
        except TimeoutError as error:
            raise TooSlow(f"nothing was read for {PATIENCE_SECONDS:g} s") from error

    async def close(self, code: int, reason: str) -> None:
        """Close a WebSocket, and say why. It does not wait: whoever does not read is not told, but dropped."""
        # The protocol has room for 123 bytes.
        said = reason.encode()[:123].decode(errors="ignore")
        await self._send({"type": "websocket.close", "code": code, "reason": said})


async def until_gone(serving: Awaitable[Any], receive: Receive, *endings: Awaitable[Any]) -> None:
    """Serve a client until that ends, the client leaves, or one of the `endings` comes."""
    await first_of(serving, _left(receive), *endings)


async def first_of(*awaited: Awaitable[Any]) -> Any:
    """What the first of these to end returns or raises; the others are cancelled."""
    tasks = [asyncio.ensure_future(one) for one in awaited]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task in done).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] not in {"http.disconnect", "websocket.disconnect"}:
        pass
