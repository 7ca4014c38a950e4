"""The live feed: whatever is committed reaches every page once and in order, through all that may go wrong."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.db import connection, transaction

from apps.agents.bus.relay import sequence
from apps.runs import journal
from apps.runs.live import consumers, listen
from apps.runs.live.feed import Feed
from apps.runs.live.routing import websocket_router
from apps.runs.models import JournalEntry, Run
from apps.runs.selectors import get_run, newest_position
from tests.factories import a_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore::ResourceWarning")]

PATIENCE = 60.0


def content(run_number: int | None) -> dict[str, Any]:
    """What a snapshot holds in these tests."""
    return {"lifecycle": get_run(run_number).lifecycle} if run_number else {}


def note(subject: str, run: Run | None = None) -> None:
    """Commit one entry."""
    with transaction.atomic():
        journal.record(journal.Change("note", run=run, subject=subject))


def number_all() -> None:
    """What the relay does."""
    while sequence():
        pass


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Feed]:
    monkeypatch.setattr(listen, "STOP_SECONDS", 0.05)
    running = Feed()
    running.start()
    yield running
    running.stop()


@asynccontextmanager
async def page(feed: Feed, path: str, **scope: Any) -> AsyncIterator[WebsocketCommunicator]:
    """An open page."""
    socket = WebsocketCommunicator(websocket_router(feed=feed, content=content), path)
    socket.scope.update(scope)
    connected, _ = await socket.connect(timeout=PATIENCE)
    assert connected
    try:
        yield socket
    finally:
        await socket.disconnect(timeout=PATIENCE)


async def subjects(socket: WebsocketCommunicator, count: int) -> list[str]:
    """The subjects of the next `count` events, and a check that frames and events are in order."""
    events: list[dict[str, Any]] = []
    while len(events) < count:
        frame = await socket.receive_json_from(timeout=PATIENCE)
        if frame["type"] == "events":
            events += frame["events"]
            assert frame["position"] >= frame["events"][-1]["position"]
    positions = [event["position"] for event in events]
    assert positions == sorted(set(positions))
    return [event["subject"] for event in events]


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.02)


async def commit(*names: str) -> None:
    """Commit and number one entry after the other."""
    for name in names:
        await sync_to_async(note)(name)
    await sync_to_async(number_all)()


async def test_a_page_is_sent_what_follows_its_cursor(feed: Feed) -> None:
    await commit("seen", "missed")
    seen = (await sync_to_async(newest_position)()) - 1

    async with page(feed, f"/ws/live/?cursor={seen}") as socket:
        await commit("fresh")

        assert await subjects(socket, 2) == ["missed", "fresh"]


async def test_a_page_without_a_cursor_gets_a_snapshot_and_then_what_follows(feed: Feed) -> None:
    run = await sync_to_async(a_run)()
    await commit("before")

    async with page(feed, f"/ws/live/runs/{run.run_number}/") as socket:
        frame = await socket.receive_json_from(timeout=PATIENCE)
        await commit("after")

        position = await sync_to_async(newest_position)()
        assert frame == {"type": "snapshot", "position": position - 1, "content": {"lifecycle": "requested"}}
        assert await subjects(socket, 1) == ["after"]


@pytest.mark.parametrize("cursor", [10**9, 0])
async def test_a_cursor_that_is_out_of_reach_gets_a_snapshot(
    feed: Feed, cursor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a database that is gone, or too far behind to be told one by one."""
    monkeypatch.setattr(consumers, "MOST_BEHIND", 2)
    await commit("one", "two", "three")

    async with page(feed, f"/ws/live/?cursor={cursor}") as socket:
        frame = await socket.receive_json_from(timeout=PATIENCE)

    assert (frame["type"], frame["position"]) == ("snapshot", await sync_to_async(newest_position)())


async def test_a_page_of_a_run_is_sent_its_events_and_those_without_a_run(feed: Feed) -> None:
    mine, other = await sync_to_async(a_run)(), await sync_to_async(a_run)()
    await sync_to_async(number_all)()
    cursor = await sync_to_async(newest_position)()

    async with page(feed, f"/ws/live/runs/{mine.run_number}/?cursor={cursor}") as socket:
        for subject, run in (("other", other), ("mine", mine), ("nobody's", None)):
            await sync_to_async(note)(subject, run)
        await sync_to_async(number_all)()

        assert await subjects(socket, 2) == ["mine", "nobody's"]


async def test_entries_that_commit_out_of_order_are_all_sent_once(feed: Feed) -> None:
    """The entry with the lower id is committed after the page has seen the one with the higher id."""
    began, may_commit = threading.Event(), threading.Event()

    def slow() -> None:
        try:
            with journal.acting_as("slow"), transaction.atomic():
                journal.record(journal.Change("note", subject="lower id"))
                began.set()
                assert may_commit.wait(PATIENCE)
        finally:
            connection.close()

    writer = threading.Thread(target=slow)
    async with page(feed, f"/ws/live/?cursor={await sync_to_async(newest_position)()}") as socket:
        writer.start()
        assert await asyncio.to_thread(began.wait, PATIENCE)
        await commit("higher id")
        first = await subjects(socket, 1)
        may_commit.set()
        await asyncio.to_thread(writer.join)
        await sync_to_async(number_all)()
        second = await subjects(socket, 1)

    ids = {entry.subject: entry.pk async for entry in JournalEntry.objects.filter(kind="note")}
    assert ids["lower id"] < ids["higher id"]
    assert (first, second) == (["higher id"], ["lower id"])


async def test_many_writers_at_once_lose_and_double_nothing(feed: Feed) -> None:
    writers, each = 8, 25
    done = threading.Event()

    def write(name: int) -> None:
        try:
            with journal.acting_as(f"writer {name}"):
                for nth in range(each):
                    note(f"{name}-{nth}")
        finally:
            connection.close()

    def relay() -> None:
        try:
            while not done.wait(0.005):
                number_all()
            number_all()
        finally:
            connection.close()

    cursor = await sync_to_async(newest_position)()
    threads = [threading.Thread(target=write, args=(name,)) for name in range(writers)]
    numbering = threading.Thread(target=relay)
    async with page(feed, f"/ws/live/?cursor={cursor}") as early:
        for thread in (numbering, *threads):
            thread.start()
        async with page(feed, f"/ws/live/?cursor={cursor}") as late:
            for thread in threads:
                await asyncio.to_thread(thread.join)
            done.set()
            await asyncio.to_thread(numbering.join)
            seen = [await subjects(socket, writers * each) for socket in (early, late)]

    assert seen[0] == seen[1]
    assert sorted(seen[0]) == sorted(f"{name}-{nth}" for name in range(writers) for nth in range(each))


async def test_a_listener_that_loses_its_connection_misses_nothing(feed: Feed) -> None:
    def cut() -> bool:
        """End every connection that listens; True once there was one."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE query LIKE 'LISTEN%' AND datname = current_database()"
            )
            return cursor.rowcount > 0

    async with page(feed, f"/ws/live/?cursor={await sync_to_async(newest_position)()}") as socket:
        await commit("before")
        assert await subjects(socket, 1) == ["before"]

        await eventually(sync_to_async(cut))
        await commit("while it is away")
        assert await subjects(socket, 1) == ["while it is away"]

        await commit("after")
        assert await subjects(socket, 1) == ["after"]


async def test_a_page_that_comes_back_with_its_cursor_has_missed_nothing(feed: Feed) -> None:
    async with page(feed, f"/ws/live/?cursor={await sync_to_async(newest_position)()}") as socket:
        await commit("one")
        frame = await socket.receive_json_from(timeout=PATIENCE)
    await commit("two", "three")

    async with page(feed, f"/ws/live/?cursor={frame['position']}") as socket:
        assert await subjects(socket, 2) == ["two", "three"]


async def test_a_wake_up_that_is_dropped_costs_no_event(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next tick finds what the channel layer has lost."""
    monkeypatch.setattr(consumers, "PING_SECONDS", 0.05)
    monkeypatch.setattr(Feed, "_wake_pages", lambda feed: None)

    async with page(feed, f"/ws/live/?cursor={await sync_to_async(newest_position)()}") as socket:
        await commit("unannounced")

        assert await subjects(socket, 1) == ["unannounced"]


async def test_a_ping_tells_that_the_relay_is_away(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "PING_SECONDS", 0.05)
    monkeypatch.setattr("apps.runs.live.feed.RELAY_IS_LATE", timedelta())
    await sync_to_async(note)("unnumbered")

    async with page(feed, f"/ws/live/?cursor={await sync_to_async(newest_position)()}") as socket:
        frame = await socket.receive_json_from(timeout=PATIENCE)

    assert frame["type"] == "ping"
    assert "the relay is" in frame["waits_for"] or "database" in frame["waits_for"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/ws/live/?cursor=twelve", consumers.BAD_CURSOR),
        ("/ws/live/?curser=12", consumers.BAD_CURSOR),
        ("/ws/live/runs/7/?nope=", consumers.BAD_CURSOR),
        (f"/ws/live/?cursor={'9' * 5000}", consumers.BAD_CURSOR),
        ("/ws/live/runs/7/", consumers.NOT_FOUND),
        (f"/ws/live/runs/{'9' * 5000}/", consumers.NOT_FOUND),
        ("/ws/nope/", consumers.NOT_FOUND),
        ("/ws/", consumers.NOT_FOUND),
    ],
)
async def test_nonsense_is_refused_with_a_reason(feed: Feed, path: str, code: int) -> None:
    async with page(feed, path) as socket:
        closing = await socket.receive_output(timeout=PATIENCE)

    assert closing["type"] == "websocket.close"
    assert closing["code"] == code
    assert closing["reason"]
