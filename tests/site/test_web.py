"""The web server, with small applications: clients that do not read are given up, endless streams end with it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
import websocket

from swf_site import web

PATIENCE = 60.0
PIECE = "x" * 100_000
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class Endless:
    """Sends for ever, and notes how it was told to end."""

    def __init__(self, *, pause: float = 0.0) -> None:
        self.pause = pause
        self.told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        sending = asyncio.create_task(self._send(scope["type"], send))
        while (event := await receive())["type"] not in {"http.disconnect", "websocket.disconnect"}:
            pass
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        self.told.put_nowait(event)

    async def _send(self, kind: str, send: Any) -> None:
        if kind == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            if kind == "websocket":
                await send({"type": "websocket.send", "text": PIECE})
            else:
                await send({"type": "http.response.body", "body": PIECE.encode(), "more_body": True})
            await asyncio.sleep(self.pause)

    async def end(self) -> dict[str, Any]:
        """How the next connection has ended."""
        async with asyncio.timeout(PATIENCE):
            return await self.told.get()


@asynccontextmanager
async def serving(application: Any) -> AsyncIterator[tuple[uvicorn.Server, int]]:
    """The running server, and its port."""
    server, taken = web.server(application), web.listening("127.0.0.1", 0)
    task = asyncio.create_task(server.serve([taken]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server, taken.getsockname()[1]
    finally:
        server.should_exit = True
        async with asyncio.timeout(PATIENCE):
            await task


def a_socket(port: int) -> socket.socket:
    """A connection that has room for little."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    connection.settimeout(PATIENCE)
    connection.connect(("127.0.0.1", port))
    return connection


def asked(port: int) -> socket.socket:
    """A connection with a request, whose answer has begun."""
    connection = a_socket(port)
    connection.sendall(REQUEST)
    assert b"200 OK" in connection.recv(100)
    return connection


def a_page(port: int) -> websocket.WebSocket:
    """An open WebSocket."""
    return websocket.create_connection(f"ws://127.0.0.1:{port}/", timeout=PATIENCE, socket=a_socket(port))


def closed(page: websocket.WebSocket) -> tuple[int, str]:
    """Code and reason, once it is closed."""
    while True:
        opcode, data = page.recv_data(control_frame=True)
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            return int.from_bytes(data[:2]), data[2:].decode()


async def elsewhere(do: Callable[..., Any], *arguments: Any) -> Any:
    """What it returns, in a thread of its own."""
    return await asyncio.to_thread(do, *arguments)


async def test_a_stream_that_is_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "PATIENCE_SECONDS", 0.2)
    endless = Endless()
    async with serving(endless) as (_, port):
        with await elsewhere(asked, port) as connection:
            assert (await endless.end())["type"] == "http.disconnect"

            last = b""
            while piece := await elsewhere(connection.recv, 1_000_000):
                last = piece
    assert not last.endswith(b"0\r\n\r\n")


async def test_a_page_that_reads_too_late_is_told_why_it_was_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(web, "LINGER_SECONDS", PATIENCE)
    endless = Endless()
    async with serving(endless) as (_, port):
        page = await elsewhere(a_page, port)
        assert (await endless.end())["code"] == web.TOO_SLOW

        code, reason = await elsewhere(closed, page)
        page.shutdown()
    assert (code, reason) == (web.TOO_SLOW, "nothing was read for 0.2 s: come back with your cursor")


async def test_a_page_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(web, "LINGER_SECONDS", 0.2)
    endless = Endless()
    async with serving(endless) as (server, port):
        page = await elsewhere(a_page, port)
        await endless.end()

        async with asyncio.timeout(PATIENCE):
            while server.server_state.connections:
                await asyncio.sleep(0.01)
        page.shutdown()


async def test_whoever_reads_slowly_but_reads_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "PATIENCE_SECONDS", 2.0)

    def read(connection: socket.socket) -> None:
        """For twice as long."""
        taken = 0
        while taken < 80 * len(PIECE):
            piece = connection.recv(20_000)
            assert piece, "it was dropped"
            taken += len(piece)

    async with serving(endless := Endless(pause=0.05)) as (_, port):
        with await elsewhere(asked, port) as connection:
            await elsewhere(read, connection)
            assert endless.told.empty()


@pytest.mark.parametrize("pause", [0.0, 0.05])
async def test_it_ends_though_streams_are_open(
    pause: float, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether they are read, or not."""
    # Whether it waited for them to no purpose must show on a busy machine, too.
    monkeypatch.setattr(web, "STOP_SECONDS", 30)
    endless = Endless(pause=pause)
    began = asyncio.get_running_loop().time()
    async with serving(endless) as (_, port):
        connection = await elsewhere(asked, port)
    with connection:
        assert (await endless.end())["type"] == "http.disconnect"
    assert asyncio.get_running_loop().time() - began < web.STOP_SECONDS
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_the_head_of_a_request_ends() -> None:
    endless = Endless()
    async with serving(endless) as (_, port):
        with await elsewhere(a_socket, port) as connection:
            connection.sendall(REQUEST[:-2])
            said = b""
            for _ in range(100):
                if said := await elsewhere(_said, connection, b"X-More: " + b"x" * 10_000 + b"\r\n"):
                    break
    assert said.startswith(b"HTTP/1.1 400 ")
    assert endless.told.empty()


def _said(connection: socket.socket, more: bytes) -> bytes:
    """What the server says to it, perhaps nothing so far."""
    connection.sendall(more)
    connection.settimeout(0.05)
    try:
        return connection.recv(1_000)
    except TimeoutError:
        return b""
