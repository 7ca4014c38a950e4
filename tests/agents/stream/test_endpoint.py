"""The stream: what is committed reaches every client once and in order, and only those who may read."""

from __future__ import annotations

import asyncio
import json
import random
from collections import deque
from datetime import timedelta
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from apps.agents.models import ApiToken
from apps.agents.services import revoke_tokens
from apps.agents.stream import beginning, endpoint, line
from apps.agents.stream.endpoint import MessageStream
from apps.runs import journal
from apps.runs.live import batches
from apps.runs.live.feed import Feed
from apps.runs.models import Namespace
from tests.agents.worker.process import wait_until
from tests.people import a_user

from .client import commit, newest, reading, token

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore::ResourceWarning")]


async def test_a_client_is_greeted_and_sent_what_happens_from_now_on(stream: MessageStream) -> None:
    await commit("before")
    position = await newest()

    async with reading(stream) as answer:
        await commit("one", "two")

        assert await answer.subjects(2) == ["one", "two"]
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    greeting = answer.blocks[0]
    assert int(greeting["retry"]) > 0
    assert (greeting["event"], int(greeting["id"])) == ("connected", position)
    assert json.loads(greeting["data"])["status"] == "connected"
    assert [place for _, place, _ in answer.events] == [position + 1, position + 2]


@pytest.mark.parametrize("by_header", [True, False])
async def test_a_client_that_comes_back_is_sent_what_it_has_missed(
    stream: MessageStream, *, by_header: bool
) -> None:
    await commit("seen", "missed", "missed too")
    seen = await newest() - 2
    how: dict[str, Any] = {"headers": {"Last-Event-ID": str(seen)}} if by_header else {"last_event_id": seen}

    async with reading(stream, **how) as answer:
        await commit("fresh")

        assert await answer.subjects(3) == ["missed", "missed too", "fresh"]


@pytest.mark.parametrize("seed", range(5))
async def test_clients_that_come_and_go_lose_and_double_nothing(
    stream: MessageStream, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether they find what they have missed in memory, in the database, or partly in either."""
    monkeypatch.setattr(stream.tail, "_items", deque(maxlen=5))
    monkeypatch.setattr(stream._batches, "_limit", 3)
    dice = random.Random(seed)
    start = await newest()
    total, seen = 60, {client: [start] for client in range(4)}

    async def write() -> None:
        written = 0
        while written < total:
            size = min(dice.randint(1, 8), total - written)
            await commit(*(f"{written + nth}" for nth in range(size)))
            written += size

    async def read(positions: list[int]) -> None:
        while positions[-1] < start + total:
            async with reading(stream, last_event_id=positions[-1]) as answer:
                wanted = dice.randint(1, start + total - positions[-1])
                await answer.until(lambda answer, wanted=wanted: len(answer.events) >= wanted)
            # What it has not read any more when it goes is not seen.
            positions += [position for _, position, _ in answer.events[:wanted]]

    await asyncio.gather(write(), *(read(positions) for positions in seen.values()))

    assert all(positions == list(range(start, start + total + 1)) for positions in seen.values())


async def test_a_client_that_keeps_up_costs_no_query(
    stream: MessageStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    await commit("first")
    await database_sync_to_async(wait_until)(lambda: stream.tail.newest is not None, what="the feed is up")
    async with reading(stream) as one, reading(stream) as other:
        await commit("warm")
        assert await one.subjects(1) == await other.subjects(1)

        monkeypatch.setattr(batches, "database_sync_to_async", None)
        await commit("a", "b", "c")

        assert await one.subjects(4) == await other.subjects(4) == ["warm", "a", "b", "c"]


async def test_filters_apply_before_anything_is_sent(stream: MessageStream) -> None:
    night = await database_sync_to_async(Namespace.objects.create)(name="night")

    async with reading(stream, agents="someone,daq", namespace="night") as answer:
        for actor, where in (("daq", {}), ("data", {"namespace": night}), ("daq", {"namespace": night})):
            with journal.acting_as(actor):
                await commit(f"{actor} {where}", **where)

        assert await answer.subjects(1) == [f"daq {where}"]
    assert len(answer.events) == 1


async def test_a_heartbeat_moves_a_client_that_is_sent_nothing(
    stream: MessageStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "HEARTBEAT_SECONDS", 0.05)
    async with reading(stream, msg_types="stf_gen") as answer:
        await commit("nothing for it")
        position = await newest()

        await answer.until(lambda answer: answer.blocks[-1] == {"": "heartbeat", "id": str(position)})
    assert answer.events == []


async def test_a_heartbeat_tells_why_news_are_late(
    stream: MessageStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(Feed, "_find_trouble", lambda feed: "the relay is 5 s\nbehind")
    async with reading(stream) as answer:
        await answer.until(lambda answer: len(answer.blocks) > 1)
    assert answer.blocks[1][""] == "the relay is 5 s behind"


async def test_a_wake_up_that_is_dropped_costs_no_event(
    stream: MessageStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(Feed, "_wake_pages", lambda feed: None)

    async with reading(stream) as answer:
        await commit("unannounced")

        assert await answer.subjects(1) == ["unannounced"]


async def test_a_database_that_goes_away_costs_no_event(
    stream: MessageStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "_DATABASE_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(line, "HEARTBEAT_SECONDS", 0.05)
    read, away = stream._batches._read, [True] * 3

    def shaky(position: int) -> Any:
        if away:
            away.pop()
            raise OperationalError("the server closed the connection")
        return read(position)

    monkeypatch.setattr(stream._batches, "_read", shaky)
    await commit("one", "two")
    monkeypatch.setattr(stream._batches._tail, "since", lambda position, limit: None)

    async with reading(stream, last_event_id=await newest() - 2) as answer:
        assert await answer.subjects(2) == ["one", "two"]
    assert not away


async def test_a_client_that_does_not_read_is_sent_no_more_and_then_goes_on(stream: MessageStream) -> None:
    async with reading(stream) as answer:
        answer.reads.clear()
        await commit(*(f"more {nth}" for nth in range(20)))
        assert answer.events == []

        answer.reads.set()

        assert len(await answer.subjects(20)) == 20


async def test_a_stream_is_read_by_holders_of_tokens_when_anybody_may_not(
    stream: MessageStream, settings: Any
) -> None:
    settings.SWF_ANONYMOUS_READ = False
    _, header = await token(scopes=["read"])

    async with reading(stream) as nobody, reading(stream, headers=header) as somebody:
        pass

    assert (nobody.status, somebody.status) == (401, 200)
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    assert "get_token" in json.loads(nobody.body)["detail"]


async def test_a_stream_is_read_by_those_who_have_logged_in(stream: MessageStream, settings: Any) -> None:
    settings.SWF_ANONYMOUS_READ = False

    def cookie() -> str:
        client = Client()
        client.force_login(a_user("ann", "viewer"))
        return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"

    mine = await database_sync_to_async(cookie)()
    async with (
        reading(stream, headers={"Cookie": mine}) as somebody,
        reading(stream, headers={"Cookie": mine + "x"}) as nobody,
    ):
        pass

    assert (somebody.status, nobody.status) == (200, 401)


async def test_a_token_that_is_not_good_is_not_taken_for_none(stream: MessageStream) -> None:
    """Though anybody may read: whoever brings a token believes in it."""
    async with reading(stream, headers={"Authorization": "Token swf_wrong"}) as answer:
        pass

    assert answer.status == 401
    assert "unknown" in json.loads(answer.body)["detail"]


async def test_after_many_wrong_tokens_the_next_one_waits(stream: MessageStream, settings: Any) -> None:
    settings.SWF_WRONG_PER_ADDRESS = "2/hour"
    statuses = []
    for n in range(3):
        async with reading(stream, headers={"Authorization": f"Token swf_{n}"}) as answer:
            statuses.append(answer.status)

    assert statuses == [401, 401, 429]
    assert 1700 < int(answer.headers["retry-after"]) <= 1800


async def test_a_token_reads_only_with_its_scope_and_its_namespace(stream: MessageStream) -> None:
    night = await database_sync_to_async(Namespace.objects.create)(name="night")
    _, writes = await token(scopes=["write"])
    _, of_night = await token(namespace=night)

    async with (
        reading(stream, headers=writes) as without_scope,
        reading(stream, headers=of_night, namespace="day") as elsewhere,
        reading(stream, headers=of_night) as answer,
    ):
        await commit("nobody's")
        await commit("ours", namespace=night)

        assert await answer.subjects(1) == ["ours"]
    assert (without_scope.status, elsewhere.status) == (403, 403)


async def test_a_stream_ends_with_its_token(stream: MessageStream, monkeypatch: pytest.MonkeyPatch) -> None:
    revoked, by_revoked = await token()
    _, by_other = await token()
    brief, by_short = await token(expires_at=timezone.now() + timedelta(days=1))
    # Late enough to be let in, mostly; and who is not has ended too.
    soon = timezone.now() + timedelta(seconds=1)
    await database_sync_to_async(ApiToken.objects.filter(pk=brief).update)(expires_at=soon)

    async with (
        reading(stream, headers=by_revoked) as one,
        reading(stream, headers=by_other) as other,
        reading(stream, headers=by_short) as short,
    ):
        await database_sync_to_async(revoke_tokens)([revoked], by="bob")
        await commit("after")

        await one.until(lambda answer: answer.ended)
        await short.until(lambda answer: answer.ended)
        await other.until(lambda answer: len(answer.events) == 2)
        assert not other.ended


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        ({"method": "POST"}, 405, "GET"),
        ({"host": "evil.example.org"}, 400, "host"),
        ({"kind": "stf_gen"}, 400, "no filter"),
        ({"last_event_id": 10**9}, 410, "begin anew"),
        ({"last_event_id": 0}, 410, "/api/journal/?after=0"),
    ],
)
async def test_what_makes_no_stream_is_answered_with_the_reason(
    stream: MessageStream, how: dict[str, Any], status: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beginning, "MOST_BEHIND", 2)
    await commit("one", "two", "three")

    async with reading(stream, **how) as answer:
        pass

    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert words in json.loads(answer.body)["detail"]


async def test_a_database_that_is_away_is_said(
    stream: MessageStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> int:
        raise OperationalError("connection refused")

    monkeypatch.setattr(endpoint, "newest_position", away)

    async with reading(stream) as answer:
        pass

    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert "connection refused" in json.loads(answer.body)["detail"]
