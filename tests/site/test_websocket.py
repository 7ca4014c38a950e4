"""Who may open a WebSocket, and keep it open: the same people who may read over REST."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import OperationalError, connections
from django.test import Client
from django.utils import timezone

from apps.agents import watch
from apps.agents.bus.relay import sequence
from apps.agents.models import ApiToken
from apps.agents.services import issue_token, revoke_tokens
from apps.runs.live.feed import Feed
from apps.runs.models import Namespace
from apps.runs.services import note_access, set_access
from swf_site import websocket
from swf_site.websocket import NOT_ALLOWED, NOT_LOGGED_IN, Readers
from tests.people import a_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore::ResourceWarning")]

OURS = {"Origin": "http://127.0.0.1:8000"}
PATIENCE = 60.0


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Says that somebody was let in."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "welcome"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def outcome(headers: dict[str, str]) -> Any:
    """`welcome`, or the code of the refusal; None when the handshake is refused."""
    named = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    socket = WebsocketCommunicator(Readers(application, feed=Feed()), "/ws/live/", headers=named)
    connected, _ = await socket.connect(timeout=PATIENCE)
    said = await word(socket) if connected else None
    await socket.disconnect(timeout=PATIENCE)
    # What tests of Channels keep open for those that share their thread.
    await database_sync_to_async(connections.close_all)()
    return said


async def word(socket: WebsocketCommunicator) -> Any:
    """The next that is said: its text, or the code of a close, which has a reason."""
    said = await socket.receive_output(timeout=PATIENCE)
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


@pytest.fixture
def feed() -> Iterator[Feed]:
    running = Feed()
    yield running
    running.stop()


def revoked() -> None:
    revoke_tokens(ApiToken.objects.values_list("pk", flat=True), by="eve")


def without_a_role() -> None:
    set_access(User.objects.get(username="ann"), by="eve", roles=[], namespaces=[])


def deactivated() -> None:
    """As the admin does it."""
    user = User.objects.get(username="ann")
    User.objects.filter(pk=user.pk).update(is_active=False)
    note_access(user, by="eve")


@pytest.mark.parametrize(
    ("happens", "code"),
    [(revoked, NOT_LOGGED_IN), (without_a_role, NOT_ALLOWED), (deactivated, NOT_LOGGED_IN)],
)
async def test_a_socket_is_closed_when_its_reader_may_read_no_more(
    feed: Feed, settings: Any, happens: Callable[[], None], code: int
) -> None:
    settings.SWF_ANONYMOUS_READ = False
    header = await database_sync_to_async(bearer)(scopes=["read"])

    def end() -> None:
        happens()
        while sequence():
            pass

    async with opened(feed, header) as socket:
        assert await word(socket) == "welcome"
        await database_sync_to_async(end)()

        assert await word(socket) == code


async def test_a_socket_is_closed_when_its_token_ends(feed: Feed) -> None:
    feed.start()
    # It is good for as long as it may take to come in.
    soon = timezone.now() + timedelta(seconds=5)
    header = await database_sync_to_async(bearer)(expires_at=soon)

    async with opened(feed, header) as socket:
        assert await word(socket) == "welcome"
        assert await word(socket) == NOT_LOGGED_IN
    assert timezone.now() > soon


async def test_a_session_that_has_ended_is_noticed_though_the_journal_does_not_tell(
    feed: Feed, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SWF_ANONYMOUS_READ = False
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.05)
    logged_in = await database_sync_to_async(cookie)(settings.SESSION_COOKIE_NAME)

    async with opened(feed, OURS | logged_in) as socket:
        assert await word(socket) == "welcome"
        await database_sync_to_async(Session.objects.all().delete)()

        assert await word(socket) == NOT_LOGGED_IN


async def test_others_stay(feed: Feed) -> None:
    """Who has another token, and who has none."""
    header = await database_sync_to_async(bearer)()

    def revoke_another() -> None:
        token = issue_token(a_user("bob", "viewer"), by="eve", name="another").token
        revoke_tokens([token.pk], by="eve")
        while sequence():
            pass

    async with opened(feed, header) as ann, opened(feed, OURS) as nobody:
        assert [await word(ann), await word(nobody)] == ["welcome", "welcome"]
        await database_sync_to_async(revoke_another)()

        assert await ann.receive_nothing(timeout=0.5)
        assert await nobody.receive_nothing(timeout=0.1)


@asynccontextmanager
async def opened(feed: Feed, headers: dict[str, str]) -> AsyncIterator[WebsocketCommunicator]:
    """A socket that was let in, while the feed runs."""
    named = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    socket = WebsocketCommunicator(Readers(application, feed=feed), "/ws/live/", headers=named)
    if not feed.listener.is_alive():
        feed.start()
    with feed.bell():
        connected, _ = await socket.connect(timeout=PATIENCE)
        assert connected
        try:
            yield socket
        finally:
            await socket.disconnect(timeout=PATIENCE)
            await database_sync_to_async(connections.close_all)()
