"""The digest of a run over its WebSocket: whole, shared, never twice in half a second, and never behind for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.db import transaction

from apps.agents.bus.relay import sequence
from apps.runs import journal
from apps.runs.live import consumers, listen
from apps.runs.live import digest as module
from apps.runs.live.digest import HOLDS_SECONDS, LEAST_SECONDS, MOST_CPU_SHARE, Digest
from apps.runs.live.feed import Feed
from apps.runs.live.routing import websocket_router
from apps.runs.models import Run
from apps.runs.selectors import get_run, newest_position
from tests.factories import a_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore::ResourceWarning")]

PATIENCE = 60.0


class Counting:
    """Makes digests: how many notes the run has, and how often that was asked for."""

    def __init__(self) -> None:
        self.made = 0
        self.ticks = 0
        self.seconds = 0.0

    def __call__(self, run_number: int, query: str) -> dict[str, Any]:
        self.made += 1
        time.sleep(self.seconds)
        notes = get_run(run_number).journal.filter(kind="note").count()
        return {"content": {"notes": notes, "query": query, "ticks": self.ticks}}


def write(kind: str, run: Run | None) -> None:
    """Commit one entry, and number it as the relay does."""
    with transaction.atomic():
        journal.record(journal.Change(kind, run=run))
    while sequence():
        pass


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Feed]:
    monkeypatch.setattr(listen, "STOP_SECONDS", 0.05)
    running = Feed()
    running.start()
    yield running
    running.stop()


@pytest.fixture
def make() -> Counting:
    return Counting()


@pytest.fixture
def digest(make: Counting) -> Digest:
    return Digest("notes", kinds=["note"], make=make)


def burn(seconds: float) -> None:
    """Be busy for so long."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@asynccontextmanager
async def page(feed: Feed, digest: Digest, path: str) -> AsyncIterator[WebsocketCommunicator]:
    router = websocket_router(feed=feed, content=lambda _: {}, digests=[digest])
    socket = WebsocketCommunicator(router, path)
    connected, _ = await socket.connect(timeout=PATIENCE)
    assert connected
    try:
        yield socket
    finally:
        await socket.disconnect(timeout=PATIENCE)


async def frame(socket: WebsocketCommunicator) -> dict[str, Any]:
    """The next frame that is no ping."""
    while True:
        found: dict[str, Any] = await socket.receive_json_from(timeout=PATIENCE)
        if found["type"] != "ping":
            return found


async def frame_with(socket: WebsocketCommunicator, notes: int) -> dict[str, Any]:
    """The first frame that has so many notes; those before have fewer."""
    while (found := await frame(socket))["content"]["notes"] < notes:
        pass
    assert found["content"]["notes"] == notes
    return found


async def test_a_page_without_a_cursor_is_sent_what_there_is(feed: Feed, digest: Digest) -> None:
    run = await sync_to_async(a_run)()
    await sync_to_async(write)("note", run)

    async with page(feed, digest, f"/ws/notes/runs/{run.run_number}/?group=a") as socket:
        found = await frame(socket)

    assert found["type"] == "notes"
    assert found["position"] == await sync_to_async(newest_position)()
    assert found["content"] == {"notes": 1, "query": "group=a", "ticks": 0}


async def test_a_page_is_told_of_news_of_its_run_and_of_the_digests_kinds(feed: Feed, digest: Digest) -> None:
    run, other = await sync_to_async(a_run)(), await sync_to_async(a_run)()
    await sync_to_async(write)("other", run)
    cursor = await sync_to_async(newest_position)()

    async with page(feed, digest, f"/ws/notes/runs/{run.run_number}/?cursor={cursor}") as socket:
        await sync_to_async(write)("note", other)
        await sync_to_async(write)("else", run)
        assert await socket.receive_nothing(timeout=0.5)
        await sync_to_async(write)("note", run)
        assert (await frame(socket))["content"]["notes"] == 1


async def test_what_came_while_the_page_was_away_is_sent_when_it_is_back(feed: Feed, digest: Digest) -> None:
    run = await sync_to_async(a_run)()
    await sync_to_async(write)("else", run)
    cursor = await sync_to_async(newest_position)()
    await sync_to_async(write)("note", run)

    async with page(feed, digest, f"/ws/notes/runs/{run.run_number}/?cursor={cursor}") as socket:
        assert (await frame(socket))["content"]["notes"] == 1


async def test_frames_come_not_more_often_than_they_may_and_none_is_behind(
    feed: Feed, digest: Digest
) -> None:
    run = await sync_to_async(a_run)()

    async with page(feed, digest, f"/ws/notes/runs/{run.run_number}/") as socket:
        await frame(socket)
        begun, frames = time.monotonic(), 0
        for _ in range(30):
            await sync_to_async(write)("note", run)
        while (await frame(socket))["content"]["notes"] < 30:
            frames += 1

        assert frames + 1 <= (time.monotonic() - begun) / LEAST_SECONDS + 1


def test_what_takes_long_is_made_less_often() -> None:
    def pause(make: Callable[[], object]) -> float:
        digest = Digest("notes", kinds=["note"], make=lambda _run, _query: {"made": make() is None})
        digest.frame(1, "", 0)
        return digest.pause

    cpu_seconds = 2 * LEAST_SECONDS * MOST_CPU_SHARE
    assert pause(lambda: None) == LEAST_SECONDS
    assert pause(lambda: burn(cpu_seconds)) >= 2 * LEAST_SECONDS
    # What the database takes for it, or other processes of a busy machine, is no work of this one.
    waited = 1.2 * LEAST_SECONDS
    assert waited <= pause(lambda: time.sleep(waited)) < waited / MOST_CPU_SHARE


async def test_many_pages_cost_one_digest(
    feed: Feed, digest: Digest, make: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However long a busy machine takes to serve them all.
    monkeypatch.setattr(module, "HOLDS_SECONDS", PATIENCE)
    monkeypatch.setattr(consumers, "PING_SECONDS", PATIENCE)
    run = await sync_to_async(a_run)()
    async with AsyncExitStack() as stack:
        path = f"/ws/notes/runs/{run.run_number}/"
        sockets = [await stack.enter_async_context(page(feed, digest, path)) for _ in range(20)]
        for socket in sockets:
            await frame(socket)
        before = make.made
        await asyncio.sleep(LEAST_SECONDS)
        await sync_to_async(write)("note", run)
        for socket in sockets:
            await frame_with(socket, 1)

        assert make.made - before == 1


async def test_pages_that_came_at_different_times_share_the_digest_too(
    feed: Feed, digest: Digest, make: Counting
) -> None:
    run = await sync_to_async(a_run)()
    async with AsyncExitStack() as stack:
        sockets = []
        for _ in range(8):
            path = f"/ws/notes/runs/{run.run_number}/"
            sockets.append(await stack.enter_async_context(page(feed, digest, path)))
            await asyncio.sleep(0.07)
        made, begun = make.made, time.monotonic()
        for _ in range(20):
            await sync_to_async(write)("note", run)
            await asyncio.sleep(0.05)
        for socket in sockets:
            await frame_with(socket, 20)

        assert make.made - made <= (time.monotonic() - begun) / LEAST_SECONDS + 1


async def test_a_tick_shows_what_no_entry_tells(
    feed: Feed, digest: Digest, make: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "PING_SECONDS", HOLDS_SECONDS + 0.1)
    run = await sync_to_async(a_run)()

    async with page(feed, digest, f"/ws/notes/runs/{run.run_number}/") as socket:
        assert (await frame(socket))["content"]["ticks"] == 0
        pings = [await socket.receive_json_from(timeout=PATIENCE) for _ in range(2)]
        assert {ping["type"] for ping in pings} == {"ping"}
        make.ticks = 1
        assert (await frame(socket))["content"]["ticks"] == 1


async def test_a_run_that_is_not_there_ends_the_connection_for_good(feed: Feed, digest: Digest) -> None:
    async with page(feed, digest, "/ws/notes/runs/999999/") as socket:
        closed = await socket.receive_output(timeout=PATIENCE)

    assert (closed["code"], closed["reason"]) == (consumers.NOT_FOUND, "there is no run 999999")
