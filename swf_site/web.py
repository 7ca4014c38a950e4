"""The web server: daphne, with its own command line, telling streams how fast their clients read.

    python -m swf_site.web -b 127.0.0.1 -p 8000 swf_site.asgi:application

Daphne keeps everything that a client has not taken yet, without a bound. A stream would fill the memory for one client that
has stopped reading; so it is given the pace of its connection, `scope["extensions"]["swf.pace"]`, and waits.
"""

from __future__ import annotations

import asyncio
from typing import Any

from daphne.cli import CommandLineInterface
from daphne.http_protocol import WebRequest
from daphne.server import Server
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer  # type: ignore[import-untyped]


@implementer(IPushProducer)
class Pace:
    """Whether the connection of a request has room. Twisted says so to whoever is registered as its producer."""

    def __init__(self, request: WebRequest) -> None:
        self._request = request
        self._room = asyncio.Event()
        self._room.set()
        self._registered = False

    async def free(self) -> None:
        """Wait until what was sent is on its way, but for about 64 kB."""
        if not self._registered and self._request.channel is not None:
            self._registered = True
            self._request.registerProducer(self, streaming=True)
        await self._room.wait()

    def end(self) -> None:
        """Nothing more is sent, or nobody is there any more."""
        if self._registered and self._request.channel is not None:
            self._request.unregisterProducer()

    def abort(self) -> None:
        """Drop the connection with what is still waiting to be sent."""
        if self._request.channel is not None:
            self._request.channel.forceAbortClient()

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The buffer is full."""
        self._room.clear()

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The buffer is empty."""
        self._room.set()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The connection has ended: nobody need wait any more."""
        self._room.set()


class PacedServer(Server):  # type: ignore[misc] # daphne has no types
    """Daphne, whose applications see the pace of their HTTP connections."""

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        """As daphne's own, with the extension."""
        if scope["type"] == "http":
            scope["extensions"] = {"swf.pace": Pace(protocol)}
        return super().create_application(protocol, scope)


class CommandLine(CommandLineInterface):  # type: ignore[misc] # daphne has no types
    """Daphne's command line for that server."""

    server_class = PacedServer


if __name__ == "__main__":
    CommandLine.entrypoint()
