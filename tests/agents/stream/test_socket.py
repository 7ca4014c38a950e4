"""The message stream over a WebSocket: the same events to the same people."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.db import OperationalError, connections

from apps.agents.services import revoke_tokens
from apps.agents.stream import beginning, socket
from apps.agents.stream.endpoint import MessageStream
from apps.agents.stream.socket import MessageSocket
from apps.runs import journal
from apps.runs.live.feed import Feed
from apps.runs.models import Namespace
from swf_site.websocket import Readers

from .client import PATIENCE, commit, newest, note, token

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore::ResourceWarning")]

OURS = {"Origin": "http://127.0.0.1:8000"}


@asynccontextmanager
async def opened(
    stream: MessageStream, feed: Feed, headers: dict[str, str] = OURS, **query: Any
) -> AsyncIterator[WebsocketCommunicator]:
    """An open socket."""
    named = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    application = Readers(MessageSocket(stream), feed=feed, narrowed=["/ws/messages/"])
    client = WebsocketCommunicator(application, f"/ws/messages/?{urlencode(query)}", headers=named)
    connected, _ = await client.connect(timeout=PATIENCE)
    assert connected
    yield client
    await client.disconnect(timeout=PATIENCE)
    # What tests of Channels keep open for those that share their thread.
    await database_sync_to_async(connections.close_all)()


async def frame(client: WebsocketCommunicator) -> dict[str, Any]:
    """The next frame but pings, or the code and reason of a close."""
    while True:
        said = await client.receive_output(timeout=PATIENCE)
        if said["type"] == "websocket.close":
            return {"type": "close", "code": said["code"], "reason": said["reason"]}
        found: dict[str, Any] = json.loads(said["text"])
        if found["type"] != "ping":
            return found


async def subjects(client: WebsocketCommunicator, count: int) -> list[str]:
    """Those of the next events, which are no messages."""
    found: list[str] = []
    while len(found) < count:
        told = await frame(client)
        assert told["type"] == "events"
        assert told["position"] >= max(event["id"] for event in told["events"])
        found += [event["data"]["subject"] for event in told["events"]]
    return found


async def test_it_greets_sends_what_happens_and_goes_on_where_a_client_was(
    stream: MessageStream, feed: Feed
) -> None:
    await commit("before")
    begin = await newest()

    async with opened(stream, feed) as client:
        greeting = await frame(client)
        assert (greeting["type"], greeting["position"]) == ("connected", begin)
        await commit("one", "two")
        assert await subjects(client, 2) == ["one", "two"]
    await commit("three")
    async with opened(stream, feed, last_event_id=begin + 1) as client:
        await frame(client)
        assert await subjects(client, 2) == ["two", "three"]


async def test_its_filters_are_those_of_the_stream(stream: MessageStream, feed: Feed) -> None:
    async with opened(stream, feed, agents="ann,bob", msg_types="note") as client:
        await frame(client)
        await commit("of nobody")
        await database_sync_to_async(note_by)("bob", "of bob")
        assert await subjects(client, 1) == ["of bob"]


async def test_a_token_of_a_namespace_is_shown_what_is_in_it(stream: MessageStream, feed: Feed) -> None:
    ours, theirs = [
        await database_sync_to_async(Namespace.objects.create)(name=name) for name in ("ours", "theirs")
    ]
    _, header = await token(namespace=ours)

    async with opened(stream, feed, header) as client:
        await frame(client)
        await commit("not for us", namespace=theirs)
        await commit("for us", namespace=ours)
        assert await subjects(client, 1) == ["for us"]
    async with opened(stream, feed, header, namespace="theirs") as client:
        assert (await frame(client))["code"] == 4403


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ({"runs": "1"}, 4400, "runs: is no filter"),
        ({"last_event_id": "x"}, 4400, "last_event_id"),
        ({"last_event_id": "999999"}, 4410, "another one"),
        ({"last_event_id": "0"}, 4410, "/api/journal/?after=0"),
    ],
)
async def test_what_cannot_be_served_is_closed_with_the_reason(
    stream: MessageStream,
    feed: Feed,
    query: dict[str, str],
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(beginning, "MOST_BEHIND", 2)
    await commit("one", "two", "three")

    async with opened(stream, feed, **query) as client:
        closed = await frame(client)

    assert closed["code"] == code
    assert words in closed["reason"]


async def test_a_database_that_is_away_is_said(
    stream: MessageStream, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> int:
        raise OperationalError("connection refused")

    monkeypatch.setattr(socket, "newest_position", away)
    async with opened(stream, feed) as client:
        assert (await frame(client))["code"] == 1013


async def test_it_ends_with_its_token(stream: MessageStream, feed: Feed) -> None:
    number, header = await token()

    def revoke() -> None:
        revoke_tokens([number], by="eve")
        note()

    async with opened(stream, feed, header) as client:
        assert (await frame(client))["type"] == "connected"
        await database_sync_to_async(revoke)()
        while (told := await frame(client))["type"] == "events":
            pass
        assert told["code"] == 4401


def note_by(actor: str, subject: str) -> None:
    """Commit and number an entry of this actor."""
    with journal.acting_as(actor):
        note(subject)
