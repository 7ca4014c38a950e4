"""Who may open a WebSocket, and keep it open: those who may read over REST, as the server is set up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Any

from channels.db import database_sync_to_async
from channels.security.websocket import AllowedHostsOriginValidator
from django.db import Error as DatabaseError

from apps.agents.access import AccessRefused, NotAllowed, Reader, reader_of
from apps.agents.watch import Watch
from apps.runs.live.consumers import TRY_AGAIN_LATER
from apps.runs.live.feed import Feed
from apps.runs.live.serving import close, first_of, open_to_close

# Pages give up on these two.
NOT_LOGGED_IN = 4401
NOT_ALLOWED = 4403

Application = Callable[[Any, Any, Any], Awaitable[Any]]


class Readers:
    """Lets readers through to the application, and closes the door to others with a reason; also to those who may read no
    more, as soon as `feed` tells of it.

    Browsers must come from a page of this server. A token is brought by a program, which comes from no page.
    """

    def __init__(self, application: Application, *, feed: Feed, narrowed: Collection[str] = ()) -> None:
        """`narrowed` are the paths that show a reader of one namespace what is in it; others show all, or nothing."""
        self._narrowed = narrowed
        self._application = application
        self._from_our_pages: Application = AllowedHostsOriginValidator(application)
        self._watch = Watch(feed)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        try:
            reader = await database_sync_to_async(reader_of)(scope)
            if reader.namespace and scope["path"] not in self._narrowed:
                raise NotAllowed(
                    f"this token is good for the namespace {reader.namespace} only, and live pages show all: "
                    "follow /api/messages/stream/ or /ws/messages/"
                )
        except AccessRefused as refusal:
            await open_to_close(receive, send, _code(refusal), str(refusal))
        except DatabaseError:
            await open_to_close(receive, send, TRY_AGAIN_LATER, "the database does not answer")
        else:
            await self._serve(reader, scope | {"reader": reader}, receive, send)

    async def _serve(self, reader: Reader, scope: dict[str, Any], receive: Any, send: Any) -> None:
        application = self._from_our_pages if reader.token_id is None else self._application
        ended = await first_of(application(scope, receive, send), self._watch.refusal(reader, scope))
        if isinstance(ended, AccessRefused):
            await close(send, _code(ended), str(ended))


def _code(refusal: AccessRefused) -> int:
    return NOT_ALLOWED if isinstance(refusal, NotAllowed) else NOT_LOGGED_IN
