"""REST with retries, against a server that does what servers and networks do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from swf_client import Away, Refused, Rest, SettingMissing, rest, web

from .server import NOBODY, Reply, Server, answers, cut

REFUSAL = b'{"detail": "some values were not accepted", "errors": {"status": ["no such status", "so there"]}}'


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(web, "RETRY_FIRST_SECONDS", 0.001)
    with Server() as running:
        yield running


def test_a_request_brings_token_and_json_and_gives_json(server: Server) -> None:
    server.replies = [answers(201, b'{"agent_id": 4}'), answers(200, b"[1, 2]"), answers(204, b"")]
    asking = Rest(server.url + "/", "secret")

    assert asking.post("state/next-agent-id/", {"a": 1}) == {"agent_id": 4}
    assert asking.get("runs/", limit=2, search="a b") == [1, 2]
    assert asking.patch("runs/4/", {"b": None}) is None

    post, get, patch = server.asked
    assert (post.method, post.path, post.body) == ("POST", "/api/state/next-agent-id/", {"a": 1})
    assert (post.headers["authorization"], post.headers["content-type"]) == (
        "Bearer secret",
        "application/json",
    )
    assert (get.method, get.path) == ("GET", "/api/runs/?limit=2&search=a+b")
    assert (patch.method, patch.body) == ("PATCH", {"b": None})


@pytest.mark.parametrize("trouble", [cut, *(answers(status, b"<html>") for status in (429, 502, 503, 504))])
def test_what_cannot_be_answered_now_is_asked_again_with_the_same_key(server: Server, trouble: Reply) -> None:
    server.replies = [trouble, trouble, answers(201, b'{"n": 1}'), answers(201, b'{"n": 2}')]
    asking = Rest(server.url)

    assert [asking.post("logs/")["n"], asking.post("logs/")["n"]] == [1, 2]

    keys = [asked.headers["idempotency-key"] for asked in server.asked]
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]


def test_a_key_of_the_caller_is_used(server: Server) -> None:
    server.replies = [answers(201)]
    Rest(server.url).post("logs/", key="mine")
    assert server.asked[0].headers["idempotency-key"] == "mine"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 422, 500])
def test_other_errors_are_raised_at_once_with_their_reasons(server: Server, status: int) -> None:
    server.replies = [answers(status, REFUSAL)]

    with pytest.raises(Refused) as refusal:
        Rest(server.url).post("systemagents/heartbeat/", {})

    assert str(refusal.value) == "some values were not accepted; status: no such status so there"
    assert refusal.value.status == status
    assert list(refusal.value.errors) == ["status"]
    assert len(server.asked) == 1


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_it_waits_as_long_as_the_server_says(server: Server, form: str) -> None:
    begun = time.monotonic()
    # To the second, so one at the least is left.
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=2))
    server.replies = [answers(503, Retry_After="1" if form == "seconds" else moment), answers(200)]
    Rest(server.url).get("runs/")
    assert 0.9 <= time.monotonic() - begun < 20


def test_patience_has_an_end(server: Server) -> None:
    server.replies = [answers(503, b'{"detail": "the database does not answer"}', Retry_After="100")]
    begun = time.monotonic()

    with pytest.raises(Away, match=r"POST .*/api/logs/: the database does not answer; given up after 60 s"):
        Rest(server.url).post("logs/")

    assert time.monotonic() - begun < 20


def test_a_server_that_is_away_is_asked_for_as_long_as_patience_lasts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web, "RETRY_FIRST_SECONDS", 0.02)
    begun = time.monotonic()

    with pytest.raises(Away, match="refused"):
        Rest(NOBODY, patience=0.5).get("runs/")

    # Its usual patience is a minute.
    assert time.monotonic() - begun < 20


def test_a_server_that_says_nothing_counts_as_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "RETRY_FIRST_SECONDS", 0.001)
    monkeypatch.setattr(rest, "TIMEOUT_SECONDS", 0.2)
    held = threading.Event()

    def silent(handler: object) -> None:
        held.wait()

    # On a busy machine the next ones may be answered too late as well.
    with Server(silent, otherwise=answers(200, b"7")) as server:
        assert Rest(server.url).get("runs/") == 7
        held.set()


def test_an_answer_that_is_cut_off_is_asked_for_again(server: Server) -> None:
    def half(handler: object) -> None:
        answers(200, b'{"n": ', Content_Length="100")(handler)  # type: ignore[arg-type]

    server.replies = [half, answers(200, b"7")]
    assert Rest(server.url).get("runs/") == 7


def test_a_redirect_is_not_followed(server: Server) -> None:
    """A POST would arrive as a GET, and the token at somebody else's."""
    with Server() as other:
        server.replies = [answers(302, Location=f"{other.url}/api/logs/")]
        with pytest.raises(Refused, match=f"moved to {other.url}"):
            Rest(server.url, "secret").post("logs/", {})
        assert not other.asked


def test_what_is_no_testbed_is_refused(server: Server) -> None:
    server.replies = [answers(200, b"<html>", "text/html")]
    with pytest.raises(Refused, match="address of a testbed"):
        Rest(server.url).get("runs/")
    for url in ("file:///etc/passwd", "http://:8000", "http://host:port"):
        with pytest.raises(Refused, match="no address"):
            Rest(url)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"SWF_API_TOKEN": "secret"}, "SWF_MONITOR_URL"),
        ({"SWF_MONITOR_URL": "http://127.0.0.1:1"}, "get_token"),
    ],
)
def test_the_environment_must_name_testbed_and_token(variables: dict[str, str], words: str) -> None:
    with pytest.raises(SettingMissing, match=words):
        Rest.from_environment(variables)


def test_the_environment_names_testbed_and_token(server: Server) -> None:
    server.replies = [answers(200)]
    Rest.from_environment({"SWF_MONITOR_URL": server.url, "SWF_API_TOKEN": "secret"}).get("runs/")
    assert server.asked[0].headers["authorization"] == "Bearer secret"
