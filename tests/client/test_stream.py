"""The reader of the stream against a server that does what networks do."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from itertools import groupby, islice, takewhile
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swf_client import Event, Refused, events, stream, web

from .server import NOBODY, Reply, Server, answers, streams

GREETING = b'retry: 2000\nevent: connected\nid: 4\ndata: {"status": "connected"}\n\n'
ONE = b'event: note\nid: 5\ndata: {"n": 1}\n\n'
TWO = b'event: note\nid: 6\ndata: {"n": 2}\n\n'
BEAT = b": heartbeat\nid: 9\n\n"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(web, "RETRY_FIRST_SECONDS", 0.001)
    with Server() as running:
        yield running


def test_events_come_as_they_were_sent_however_the_network_cuts_them(server: Server) -> None:
    whole = GREETING + ONE + BEAT + TWO
    server.replies = [streams(*(whole[nth : nth + 7] for nth in range(0, len(whole), 7)))]

    came = list(islice(events(server.url), 3))

    assert came == [
        Event("connected", 4, {"status": "connected"}),
        Event("note", 5, {"n": 1}),
        Event("note", 6, {"n": 2}),
    ]


@settings(max_examples=40)
@given(cuts=st.lists(st.integers(0, 400), max_size=8), piece=st.integers(1, 50))
def test_each_event_comes_once_and_in_order_wherever_lines_break(cuts: list[int], piece: int) -> None:
    texts = [b'event: note\nid: %d\ndata: {"n": %d}\n\n' % (nth, nth) for nth in range(10)]

    def line(length: int) -> Reply:
        """What follows the last event that was seen, as far as it comes before the line breaks."""

        def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
            last = int(handler.headers.get("Last-Event-ID", "-1"))
            sent = b"".join(texts[last + 1 :])[:length]
            pieces = (sent[at : at + piece] for at in range(0, len(sent), piece))
            streams(*pieces, whole=length % 2 == 0)(handler)

        return reply

    with pytest.MonkeyPatch.context() as patch, Server(*map(line, cuts), otherwise=line(10_000)) as server:
        patch.setattr(web, "RETRY_FIRST_SECONDS", 0.001)
        notes = (event for event in events(server.url) if event.type == "note")
        assert [event.data["n"] for event in islice(notes, 10)] == list(range(10))


def test_the_wish_goes_with_the_request(server: Server) -> None:
    server.replies = [streams(GREETING)]

    next(events(server.url + "/", "secret", ["stf_gen", "stf_ready"], run=100010, last_event_id=4))

    (asked,) = server.asked
    assert asked.path == "/api/messages/stream/?msg_types=stf_gen%2Cstf_ready&run_ids=100010"
    assert (asked.headers["authorization"], asked.headers["last-event-id"]) == ("Bearer secret", "4")


def test_a_line_that_breaks_goes_on_after_the_last_whole_event(server: Server) -> None:
    """Or after the last heartbeat, which moves it too."""
    server.replies = [
        streams(GREETING + ONE + TWO[:20], whole=False),
        answers(503, b'{"detail": "the database does not answer"}'),
        streams(TWO + BEAT),
        streams(GREETING),
    ]

    came = list(islice(events(server.url), 7))

    assert [event.type for event in came] == [
        *("connected", "note", "disconnected", "disconnected"),
        *("note", "disconnected", "connected"),
    ]
    assert came[3].data["reason"] == "the database does not answer"
    assert [asked.headers.get("last-event-id") for asked in server.asked] == [None, "5", "5", "9"]


def test_a_line_that_is_silent_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "RETRY_FIRST_SECONDS", 0.001)
    monkeypatch.setattr(stream, "SILENT_AFTER_SECONDS", 0.2)
    held = threading.Event()

    def silent_at_first(handler: http.server.BaseHTTPRequestHandler) -> None:
        if "Last-Event-ID" in handler.headers:
            streams(ONE)(handler)
        else:
            streams(GREETING, whole=False)(handler)
            held.wait()

    with Server(otherwise=silent_at_first) as server:
        came = list(takewhile(lambda event: event.type != "note", events(server.url)))
        held.set()

    # A busy machine says nothing for so long on other lines, too.
    whole = came[[event.type for event in came].index("connected") :]
    assert [kind for kind, _ in groupby(event.type for event in whole)] == ["connected", "disconnected"]
    assert "nothing" in whole[1].data["reason"]


def test_a_server_that_is_away_is_asked_again_more_and_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    # Not for all threads of this process.
    monkeypatch.setattr(stream, "time", SimpleNamespace(sleep=pauses.append))

    came = list(islice(events(NOBODY), 12))

    assert {event.type for event in came} == {"disconnected"}
    assert "refused" in came[0].data["reason"]
    assert pauses[0] <= web.RETRY_FIRST_SECONDS
    assert web.RETRY_MOST_SECONDS / 2 <= pauses[-1] <= web.RETRY_MOST_SECONDS


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (answers(401, b'{"detail": "this token is unknown"}'), "this token is unknown"),
        (answers(410, b'{"detail": "begin anew"}'), "begin anew"),
        (answers(404, b"<html>"), "404"),
        (answers(200, b"<html>", "text/html"), "is no message stream"),
    ],
)
def test_what_will_never_be_a_stream_is_refused(server: Server, reply: Reply, words: str) -> None:
    server.replies = [reply]

    with pytest.raises(Refused, match=words):
        next(events(server.url))


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(Refused, match="no address"):
        next(events("file:///etc/passwd"))
