"""Serving one client: no faster than it reads, and until it leaves.

`send` waits for a client that does not read, and the web server gives it up after a while (`swf_site.web`). So one which
has stopped reading costs no memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


async def close(send: Send, code: int, reason: str) -> None:
    """Close a WebSocket, and say why."""
    # The protocol has room for 123 bytes.
    said = reason.encode()[:123].decode(errors="ignore")
    await send({"type": "websocket.close", "code": code, "reason": said})


async def open_to_close(receive: Receive, send: Send, code: int, reason: str) -> None:
    """Open a WebSocket to say why it is closed: a refused handshake would tell a browser nothing."""
    await receive()
    await send({"type": "websocket.accept"})
    await close(send, code, reason)


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
