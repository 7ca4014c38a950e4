"""The web server: uvicorn, which gives up clients that do not read.

    python -m swf_site.web -b 127.0.0.1 -p 8000

uvicorn has an application wait that sends to a client which does not read, for ever; so streams and WebSockets cost no
memory. Here such a client is given up after a minute, and one of a WebSocket is told so; streams end with the server, which
would wait for them; and the head of a request may not be endless.

daphne stays installed for development: it serves `manage.py runserver`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from .together import together

# After so long without reading, a client counts as gone. It comes back with its position.
PATIENCE_SECONDS = 60.0
# A page whose WebSocket is closed with it comes back; whoever begins to read within so long is told why.
TOO_SLOW = 4408
LINGER_SECONDS = 1.0
# Requests under way are waited for so long when the server ends, less than supervisor waits for it.
STOP_SECONDS = 5
# Longer than clients and proxies keep a connection that they do not use, so that none is closed as it is used again.
KEEP_ALIVE_SECONDS = 75
MOST_WAITING = 2048
MOST_HEAD_BYTES = 64_000
# What clients may send over a WebSocket; frames to them may be longer.
MOST_FRAME_BYTES = 1_000_000


class Impatient(asyncio.Protocol):
    """A connection whose client is given up when it does not take what is waiting for it, about 64 kB."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    _alarm: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """The buffer is full."""
        super().pause_writing()
        self._alarm = self.loop.call_later(PATIENCE_SECONDS, self.give_up)

    def resume_writing(self) -> None:
        """It is almost empty again."""
        super().resume_writing()
        self._calm()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        super().connection_lost(exc)
        self._calm()

    def give_up(self) -> None:
        """Drop the client, with what is waiting for it."""
        self.transport.abort()

    def _calm(self) -> None:
        if self._alarm:
            self._alarm.cancel()


class Http(Impatient, HttpToolsProtocol):
    """A connection for requests."""

    _in_head = False
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """As uvicorn's own, unless the head of a request does not end."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response(f"The head of the request is longer than {MOST_HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        """Its head has come."""
        self._in_head = False
        super().on_headers_complete()

    def shutdown(self) -> None:
        """End what has no end; what has is finished first."""
        if self.cycle and self.cycle.chunked_encoding and not self.cycle.response_complete:
            self.transport.abort()
        else:
            super().shutdown()


class Socket(Impatient, WebSocketsSansIOProtocol):
    """A WebSocket."""

    def give_up(self) -> None:
        """Close it, and drop the client if it does not read that either."""
        self.queue.put_nowait({"type": "websocket.disconnect", "code": TOO_SLOW})
        self.close_sent = True
        self.conn.send_close(
            TOO_SLOW, f"nothing was read for {PATIENCE_SECONDS:g} s: come back with your cursor"
        )
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def keepalive_timeout(self) -> None:
        """The client does not answer: nobody is there to be told."""
        self.transport.abort()


class Server(uvicorn.Server):
    """A server that leaves what it cannot take at once to other processes at the same socket."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's own, but that many may wait to be taken."""
        await super().startup(sockets)
        for taken in sockets or []:
            taken.listen(MOST_WAITING)


def server(application: Any) -> Server:
    """The server of an ASGI application; not by its name, for Django may not be loaded within an event loop."""
    return Server(
        uvicorn.Config(
            application,
            # So many are taken at a time.
            backlog=1,
            loop="asyncio",
            http=Http,
            ws=Socket,
            ws_max_size=MOST_FRAME_BYTES,
            ws_ping_timeout=30.0,
            # It would be done for each client anew.
            ws_per_message_deflate=False,
            lifespan="off",
            # Django's settings say what is logged; of requests nothing is.
            log_config=None,
            access_log=False,
            # Who has asked is for the application to find out (apps.agents.access).
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )


def listening(host: str, port: int) -> socket.socket:
    """A socket at this address, for several processes.

    Raises:
        OSError: it is taken, or there is none.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    # With its protocol, by which asyncio knows that packets need not wait to become full.
    taken = socket.socket(family, kind, protocol)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(address)
    return taken


def main() -> None:
    """Serve until a signal comes."""
    options = argparse.ArgumentParser(prog="swf_site.web", description="The web server of the testbed.")
    options.add_argument("-b", "--bind", default="127.0.0.1", help="the address to listen on")
    options.add_argument("-p", "--port", type=int, default=8000, help="the port to listen on")
    chosen = options.parse_args()
    # Before the processes divide: what is loaded now, they share.
    importlib.import_module("swf_site.application")
    from django.conf import settings

    if settings.SWF_WEB_PROCESSES < 1:
        options.error(f"SWF_WEB_PROCESSES={settings.SWF_WEB_PROCESSES}: at least one must serve")
    with contextlib.suppress(KeyboardInterrupt):
        taken = listening(chosen.bind, chosen.port)
        together(lambda: _serve(taken), settings.SWF_WEB_PROCESSES)


def _serve(taken: socket.socket) -> None:
    from .asgi import application

    server(application).run(sockets=[taken])


if __name__ == "__main__":
    main()
