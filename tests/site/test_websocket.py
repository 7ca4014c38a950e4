"""Who may open a WebSocket: the same people who may read over REST."""

from __future__ import annotations

from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.db import OperationalError, connections
from django.test import Client

from apps.agents.services import issue_token
from apps.runs.models import Namespace
from swf_site import websocket
from swf_site.websocket import NOT_ALLOWED, NOT_LOGGED_IN, Readers
from tests.people import a_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore::ResourceWarning")]

OURS = {"Origin": "http://127.0.0.1:8000"}


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Says that somebody was let in."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "welcome"})


async def outcome(headers: dict[str, str]) -> Any:
    """`welcome`, or the code of the refusal; None when the handshake is refused."""
    named = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    socket = WebsocketCommunicator(Readers(application), "/ws/live/", headers=named)
    connected, _ = await socket.connect(timeout=10)
    # What tests of Channels keep open for those that share their thread.
    await database_sync_to_async(connections.close_all)()
    if not connected:
        return None
    said = await socket.receive_output(timeout=10)
    if said["type"] == "websocket.close":
        assert said["reason"]
        assert len(said["reason"].encode()) <= 123
    return said.get("text") or said.get("code")


def bearer(**what: Any) -> dict[str, str]:
    """The header of a new token."""
    user = User.objects.filter(username="ann").first() or a_user("ann", "viewer")
    secret = issue_token(user, **{"by": "tester", "name": "for tests", **what}).secret
    return {"Authorization": f"Bearer {secret}"}


def cookie(name: str) -> dict[str, str]:
    """The header of somebody who has logged in."""
    client = Client()
    client.force_login(a_user("bob", "viewer"))
    return {"Cookie": f"{name}={client.cookies[name].value}"}


async def test_anybody_comes_from_our_pages_while_anybody_may_read() -> None:
    assert [await outcome(OURS), await outcome({"Origin": "http://evil.example.org"})] == ["welcome", None]


async def test_readers_come_by_session_or_token_when_nobody_else_may(settings: Any) -> None:
    settings.SWF_ANONYMOUS_READ = False
    logged_in = await database_sync_to_async(cookie)(settings.SESSION_COOKIE_NAME)
    token = await database_sync_to_async(bearer)()

    assert await outcome(OURS) == NOT_LOGGED_IN
    assert await outcome(OURS | logged_in) == "welcome"
    assert await outcome({"Origin": "http://evil.example.org"} | logged_in) is None
    # A program comes from no page.
    assert await outcome(token) == "welcome"


async def test_a_user_without_a_role_is_refused(settings: Any) -> None:
    settings.SWF_ANONYMOUS_READ = False

    def stranger() -> dict[str, str]:
        client = Client()
        client.force_login(a_user("stranger"))
        return {
            "Cookie": f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
        }

    assert await outcome(OURS | await database_sync_to_async(stranger)()) == NOT_ALLOWED


async def test_a_token_that_is_not_good_for_it_is_refused() -> None:
    night = await database_sync_to_async(Namespace.objects.create)(name="night")

    assert await outcome(OURS | {"Authorization": "Token swf_x"}) == NOT_LOGGED_IN
    assert await outcome(await database_sync_to_async(bearer)(scopes=["write"])) == NOT_ALLOWED
    assert await outcome(await database_sync_to_async(bearer)(namespace=night)) == NOT_ALLOWED


async def test_a_database_that_is_away_lets_pages_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(headers: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(websocket, "reader_of", away)

    assert await outcome(OURS) == websocket.TRY_AGAIN_LATER
