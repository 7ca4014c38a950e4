"""Heartbeats against a server that comes and goes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from swf_client import Heartbeat, Refused, Rest, heartbeat, web

from .server import Server, answers
from .test_logs import eventually


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(web, "RETRY_FIRST_SECONDS", 0.001)
    with Server(otherwise=answers(200)) as running:
        yield running


def heart_of(server: Server, period: float) -> Heartbeat:
    return Heartbeat(Rest(server.url), "example-agent-ann-1", "Example", namespace="local", period=period)


def test_it_says_who_the_agent_is_and_how(server: Server) -> None:
    heart = heart_of(server, period=60.0)
    heart.start()
    heart.say(operational_state="READY", total_stf_processed=3)
    heart.stop("enough")

    first, last = (asked.body for asked in server.asked)
    assert {asked.path for asked in server.asked} == {"/api/systemagents/heartbeat/"}
    assert (first["instance_name"], first["agent_type"], first["namespace"], first["pid"]) == (
        "example-agent-ann-1",
        "example",
        "local",
        os.getpid(),
    )
    assert (first["status"], first["operational_state"]) == ("OK", "STARTING")
    assert (last["status"], last["operational_state"], last["description"]) == ("EXITED", "EXITED", "enough")
    assert last["total_stf_processed"] == 3


def test_it_goes_on_by_itself_over_an_outage(server: Server) -> None:
    heart = heart_of(server, period=0.02)
    heart.start()
    server.replies = [answers(503), answers(400), answers(401)]
    eventually(lambda: len(server.asked) > 10)
    heart.stop()


def test_a_new_status_is_said_at_once(server: Server) -> None:
    heart = heart_of(server, period=60.0)
    heart.start()
    heart.say(status="WARNING", description="the stream is down")
    eventually(lambda: len(server.asked) == 2)
    assert server.asked[1].body["description"] == "the stream is down"
    heart.stop()


def test_what_is_said_slowly_is_not_overtaken_by_the_last_word(server: Server) -> None:
    heart = heart_of(server, period=60.0)
    heart.start()
    asked_by_then = []

    def slowly(handler: BaseHTTPRequestHandler) -> None:
        threading.Event().wait(0.5)
        asked_by_then.append(len(server.asked))
        answers(200)(handler)

    server.replies = [slowly]
    heart.say(status="WARNING")
    eventually(lambda: len(server.asked) == 2)
    heart.stop()
    assert asked_by_then == [2]
    assert [asked.body["status"] for asked in server.asked] == ["OK", "WARNING", "EXITED"]


def test_an_agent_that_is_not_let_in_is_told_so_when_it_starts(server: Server) -> None:
    server.replies = [answers(401, b'{"detail": "this token expired: ask for a new one"}')]
    with pytest.raises(Refused, match="expired"):
        heart_of(server, period=60.0).start()


def test_the_end_does_not_take_long_when_the_server_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "LAST_WORD_SECONDS", 1.0)
    with Server(otherwise=answers(200)) as server:
        heart = heart_of(server, period=60.0)
        heart.start()
    heart.stop()
