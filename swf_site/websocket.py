"""Who may open a WebSocket: those who may read over REST, as the server is set up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from channels.db import database_sync_to_async
from channels.security.websocket import AllowedHostsOriginValidator
from django.db import Error as DatabaseError

from apps.agents.access import AccessRefused, NotAllowed, reader_of
from apps.runs.live.consumers import TRY_AGAIN_LATER

# Pages give up on these two.
NOT_LOGGED_IN = 4401
NOT_ALLOWED = 4403

Application = Callable[[Any, Any, Any], Awaitable[Any]]


class Readers:
    """Lets readers through to the application, and closes the door to others with a reason.

    Browsers must come from a page of this server. A token is brought by a program, which comes from no page.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._from_our_pages: Application = AllowedHostsOriginValidator(application)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        try:
            reader = await database_sync_to_async(reader_of)(scope)
            if reader.namespace:
                raise NotAllowed(
                    f"this token is good for the namespace {reader.namespace} only, and live pages show all: "
                    "follow /api/messages/stream/"
                )
        except NotAllowed as refusal:
            await _close(receive, send, NOT_ALLOWED, str(refusal))
        except AccessRefused as refusal:
            await _close(receive, send, NOT_LOGGED_IN, str(refusal))
        except DatabaseError:
            await _close(receive, send, TRY_AGAIN_LATER, "the database does not answer")
        else:
            application = self._from_our_pages if reader.token_id is None else self._application
            await application(scope, receive, send)


async def _close(receive: Any, send: Any, code: int, reason: str) -> None:
    """Open the connection to say why it is closed: a refused handshake would tell a browser nothing."""
    await receive()
    await send({"type": "websocket.accept"})
    # The protocol has room for 123 bytes.
    await send(
        {"type": "websocket.close", "code": code, "reason": reason.encode()[:123].decode(errors="ignore")}
    )
