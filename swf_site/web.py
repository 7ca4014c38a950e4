"""The web server: daphne, with its own command line, telling streams how fast their clients read.

    python -m swf_site.web -b 127.0.0.1 -p 8000 swf_site.asgi:application

Daphne keeps everything that a client has not taken yet, without a bound. A stream would fill the memory for one client that
has stopped reading; so it is given the pace of its connection, `scope["extensions"]["swf.pace"]`, and waits. So is a
WebSocket. Clients of a WebSocket are told why it is closed, where daphne tells them the code only, and not every code; and a
frame to them may be longer than one from them.
"""

from __future__ import annotations

import asyncio
from typing import Any

from daphne.cli import CommandLineInterface
from daphne.http_protocol import WebRequest
from daphne.server import Server
from daphne.ws_protocol import WebSocketProtocol
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer  # type: ignore[import-untyped]

# The kind of a WebSocket's frame, in the protocol's numbers.
_TEXT = 1


@implementer(IPushProducer)
class Pace:
    """Whether the connection of a request has room. Twisted says so to whoever is registered as its producer."""

    def __init__(self, request: WebRequest) -> None:
        self._request = request
        self._room = asyncio.Event()
        self._room.set()
        self._registered = False

    def is_free(self) -> bool:
        """Whether what was sent is on its way, but for about 64 kB."""
        if not self._registered:
            self._registered = self._register()
        return self._room.is_set()

    async def free(self) -> None:
        """Wait until it is."""
        if not self.is_free():
            await self._room.wait()

    def end(self) -> None:
        """Nothing more is sent, or nobody is there any more."""
        if self._registered and self._request.channel is not None:
            self._request.unregisterProducer()

    def abort(self) -> None:
        """Drop the connection with what is still waiting to be sent."""
        if self._request.channel is not None:
            self._request.channel.forceAbortClient()

    def _register(self) -> bool:
        if self._request.channel is None:
            return False
        self._request.registerProducer(self, streaming=True)
        return True

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The buffer is full."""
        self._room.clear()

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The buffer is empty."""
        self._room.set()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The connection has ended: nobody need wait any more."""
        self._room.set()


class SocketPace(Pace):
    """The same of a WebSocket."""

    def __init__(self, protocol: WebSocketProtocol) -> None:
        super().__init__(protocol)
        self._transport = protocol.transport

    def end(self) -> None:
        if self._registered:
            self._transport.unregisterProducer()

    def abort(self) -> None:
        self._transport.abortConnection()

    def _register(self) -> bool:
        # The HTTP channel, over which the request for the WebSocket came, is registered still.
        self._transport.unregisterProducer()
        self._transport.registerProducer(self, streaming=True)
        return True


class PacedServer(Server):  # type: ignore[misc] # daphne has no types
    """Daphne, whose applications see the pace of their connections."""

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        """As daphne's own, with the extension."""
        pace = Pace if scope["type"] == "http" else SocketPace
        scope["extensions"] = {"swf.pace": pace(protocol)}
        return super().create_application(protocol, scope)

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """As daphne's own, but for what goes over a WebSocket that was opened."""
        opened = isinstance(protocol, WebSocketProtocol) and protocol.state != protocol.STATE_CONNECTING
        if opened and "text" in message:
            # Without the bound on what clients may send.
            if protocol.state == protocol.STATE_OPEN:
                protocol.sendFrame(_TEXT, message["text"].encode())
        elif opened and message["type"] == "websocket.close":
            protocol.sendCloseFrame(message.get("code", 1000), message.get("reason", "").encode())
        else:
            await super().handle_reply(protocol, message)


class CommandLine(CommandLineInterface):  # type: ignore[misc] # daphne has no types
    """Daphne's command line for that server."""

    server_class = PacedServer


if __name__ == "__main__":
    CommandLine.entrypoint()
