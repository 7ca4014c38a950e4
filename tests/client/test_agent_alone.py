"""An agent against a server that says what a test wants of it."""

from __future__ import annotations

import http.server
import logging
import signal
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from swf_client import Agent, Refused, Rest, StateInUse, web
from swf_client.state import State

from .server import Reply, Server, answers, cut, streams
from .test_logs import eventually

GREETING = b'event: connected\nid: 4\ndata: {"status": "connected"}\n\n'
ONE = b'event: note\nid: 5\ndata: {"n": 1}\n\n'
TWO = b'event: note\nid: 6\ndata: {"n": 2}\n\n'


class Scripted(Server):
    """Takes everything, and gives streams as it is told."""

    def __init__(self) -> None:
        super().__init__(otherwise=self._reply)
        self.lines: list[Reply] = []

    def _reply(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        if handler.path.startswith("/api/messages/"):
            self.lines.pop(0)(handler)
        else:
            answers(200, b'{"agent_id": 7}')(handler)

    @property
    def streams_asked(self) -> list[tuple[str, str | None]]:
        """The query and the last event id of each."""
        return [
            (asked.path.partition("?")[2], asked.headers.get("last-event-id"))
            for asked in self.asked
            if asked.path.startswith("/api/messages/")
        ]

    @property
    def beats(self) -> list[tuple[str, str]]:
        """Status and description of each heartbeat."""
        beats = [asked.body for asked in self.asked if asked.path.endswith("/heartbeat/")]
        return [(beat["status"], beat["description"]) for beat in beats]


@pytest.fixture
def testbed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    monkeypatch.setattr(web, "RETRY_FIRST_SECONDS", 0.001)
    with Scripted() as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


def test_a_message_is_behind_the_agent_when_it_asks_for_the_next(testbed: Scripted, path: Path) -> None:
    testbed.lines = [streams(GREETING + ONE + TWO)] * 2
    for _ in range(2):
        with Agent("example", Rest(testbed.url), namespace="local", state_file=path) as agent:
            assert [event.data["n"] for event in islice(agent.events(["note"]), 2)] == [1, 2]

    assert testbed.streams_asked == [("msg_types=note&namespace=local", last) for last in (None, "5")]


def test_a_place_that_is_too_old_is_refused_until_it_is_forgotten(testbed: Scripted, path: Path) -> None:
    with State(path) as state:
        state.put("last_event_id", 3)
    testbed.lines = [answers(410, b'{"detail": "begin anew"}'), streams(GREETING + ONE)]
    with Agent("example", Rest(testbed.url), state_file=path) as agent:
        with pytest.raises(Refused, match="begin anew"):
            next(agent.events())
        agent.forget_place()
        next(agent.events())

    assert [last for _, last in testbed.streams_asked] == ["3", None]


def test_while_messages_do_not_come_the_heartbeat_says_why(testbed: Scripted, path: Path) -> None:
    def after_a_warning(handler: http.server.BaseHTTPRequestHandler) -> None:
        eventually(lambda: testbed.beats[-1] == ("WARNING", "the database is away"))
        streams(GREETING + ONE)(handler)

    testbed.lines = [answers(503, b'{"detail": "the database is away"}'), after_a_warning]
    with Agent("example", Rest(testbed.url), description="tries", state_file=path) as agent:
        next(agent.events())
        eventually(lambda: testbed.beats[-1] == ("OK", "tries"))
    assert testbed.beats[-1] == ("EXITED", "")


def test_two_agents_do_not_share_a_name(testbed: Scripted, path: Path) -> None:
    with (
        Agent("example", Rest(testbed.url), state_file=path),
        pytest.raises(StateInUse, match="state_file"),
        Agent("example", Rest(testbed.url), state_file=path),
    ):
        pass


def test_an_agent_that_is_not_let_in_leaves_nothing_behind(testbed: Scripted, path: Path) -> None:
    testbed.replies = [cut, answers(200, b'{"agent_id": 7}'), answers(403, b'{"detail": "read only"}')]
    handlers = list(logging.getLogger().handlers)
    with pytest.raises(Refused, match="read only"), Agent("example", Rest(testbed.url), state_file=path):
        pass

    assert logging.getLogger().handlers == handlers
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    with State(path) as state:
        assert state.get("agent_id") == 7
