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
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# After so long without reading, a client counts as gone. It comes back with its position.
PATIENCE_SECONDS = 60.0
# A page whose WebSocket is closed with it comes back; whoever begins to read within so long is told why.
TOO_SLOW = 4408
LINGER_SECONDS = 1.0
# Requests under way are waited for so long when the server ends, less than supervisor waits for it.
STOP_SECONDS = 5
# Longer than clients and proxies keep a connection that they do not use, so that none is closed as it is used again.
KEEP_ALIVE_SECONDS = 75
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


def server(application: Any, *, host: str, port: int) -> uvicorn.Server:
    """The server of an ASGI application; not by its name, for Django may not be loaded within an event loop."""
    return uvicorn.Server(
        uvicorn.Config(
            application,
            host=host,
            port=port,
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


def main() -> None:
    """Serve until a signal comes."""
    options = argparse.ArgumentParser(prog="swf_site.web", description="The web server of the testbed.")
    options.add_argument("-b", "--bind", default="127.0.0.1", help="the address to listen on")
    options.add_argument("-p", "--port", type=int, default=8000, help="the port to listen on")
    chosen = options.parse_args()
    from .asgi import application

    with contextlib.suppress(KeyboardInterrupt):
        server(application, host=chosen.bind, port=chosen.port).run()


if __name__ == "__main__":
    main()
