"""The reader of the stream against a server that does what networks do."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest

from swf_site.cli import stream
from swf_site.cli.stream import Event, StreamRefused, events

GREETING = b'retry: 2000\nevent: connected\nid: 4\ndata: {"status": "connected"}\n\n'
ONE = b'event: note\nid: 5\ndata: {"n": 1}\n\n'
TWO = b'event: note\nid: 6\ndata: {"n": 2}\n\n'
BEAT = b": heartbeat\nid: 9\n\n"

Reply = Callable[[http.server.BaseHTTPRequestHandler], None]


class Server:
    """Answers one request after the other as the test says, and notes them."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked.append(
                    (self.path, {name.lower(): value for name, value in self.headers.items()})
                )
                server.replies.pop(0)(self)
                self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(stream, "RETRY_FIRST_SECONDS", 0.001)
    with Server() as running:
        yield running


def streams(*parts: bytes, whole: bool = True) -> Reply:
    """A stream in these pieces, which ends properly or is cut off."""

    def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for part in parts:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            handler.wfile.flush()
        if whole:
            handler.wfile.write(b"0\r\n\r\n")

    return reply


def answers(status: int, body: bytes = b"{}", content_type: str = "application/problem+json") -> Reply:
    """Something else than a stream."""

    def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def test_events_come_as_they_were_sent_however_the_network_cuts_them(server: Server) -> None:
    whole = GREETING + ONE + BEAT + TWO
    server.replies = [streams(*(whole[nth : nth + 7] for nth in range(0, len(whole), 7)))]

    came = list(islice(events(server.url), 3))

    assert came == [
        Event("connected", 4, {"status": "connected"}),
        Event("note", 5, {"n": 1}),
        Event("note", 6, {"n": 2}),
    ]


def test_the_wish_goes_with_the_request(server: Server) -> None:
    server.replies = [streams(GREETING)]

    next(events(server.url + "/", "secret", ["stf_gen", "stf_ready"], run=100010, last_event_id=4))

    ((path, headers),) = server.asked
    assert path == "/api/messages/stream/?msg_types=stf_gen%2Cstf_ready&run_ids=100010"
    assert (headers["authorization"], headers["last-event-id"]) == ("Bearer secret", "4")


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
    assert [headers.get("last-event-id") for _, headers in server.asked] == [None, "5", "5", "9"]


def test_a_line_that_is_silent_is_made_anew(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SILENT_AFTER_SECONDS", 0.2)
    held = threading.Event()

    def silent(handler: http.server.BaseHTTPRequestHandler) -> None:
        streams(GREETING, whole=False)(handler)
        held.wait(10)

    server.replies = [silent, streams(ONE)]

    came = list(islice(events(server.url), 3))
    held.set()

    assert [event.type for event in came] == ["connected", "disconnected", "note"]
    assert "nothing" in came[1].data["reason"]


def test_a_server_that_is_away_is_asked_again_more_and_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(stream.time, "sleep", pauses.append)
    with Server() as gone:
        pass

    came = list(islice(events(gone.url), 12))

    assert {event.type for event in came} == {"disconnected"}
    assert "refused" in came[0].data["reason"]
    assert pauses[0] <= stream.RETRY_FIRST_SECONDS
    assert stream.RETRY_MOST_SECONDS / 2 <= pauses[-1] <= stream.RETRY_MOST_SECONDS


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

    with pytest.raises(StreamRefused, match=words):
        next(events(server.url))


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(StreamRefused, match="no address"):
        next(events("file:///etc/passwd"))
