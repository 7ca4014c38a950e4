"""Connections that stay open: one per thread, and nobody notices when one has been closed."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator

import pytest
from swf_client import Away, Refused, Rest, kept

from .server import Server, answers, cut


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(otherwise=answers(200, b"7"), keeps=True) as running:
        yield running


def closing(handler: http.server.BaseHTTPRequestHandler) -> None:
    """An answer after which the server ends the connection, without having said so."""
    answers(200, b"7")(handler)
    handler.close_connection = True


def test_one_connection_serves_all_requests_of_a_thread_refused_ones_too(server: Server) -> None:
    server.replies = [answers(200, b"7"), answers(409), answers(204, b"")]
    asking = Rest(server.url)

    assert asking.get("runs/") == 7
    with pytest.raises(Refused):
        asking.post("logs/", {})
    assert asking.patch("runs/4/", {}) is None

    assert (len(server.asked), server.connections) == (3, 1)


def test_each_thread_has_its_own(server: Server) -> None:
    asking = Rest(server.url)
    asking.get("runs/")

    threads = [threading.Thread(target=asking.get, args=("runs/",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(server.asked), server.connections) == (4, 4)


def test_a_process_that_was_forked_off_has_its_own(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asking = Rest(server.url)
    asking.get("runs/")

    child = os.getpid() + 1
    monkeypatch.setattr(kept.os, "getpid", lambda: child)
    asking.get("runs/")

    assert server.connections == 2


def test_what_a_stale_connection_does_not_take_goes_over_a_new_one_at_once(server: Server) -> None:
    server.replies = [closing, closing, closing]
    asking = Rest(server.url, patience=0)

    assert [asking.get("runs/"), asking.post("logs/", {}), asking.get("runs/")] == [7, 7, 7]

    assert (len(server.asked), server.connections) == (3, 3)


def test_a_server_that_began_anew_is_found(server: Server) -> None:
    asking = Rest(server.url)
    asking.get("runs/")
    server.replies = [cut, answers(200, b"8")]

    assert asking.get("runs/") == 8


def test_a_new_connection_that_is_cut_is_not_asked_twice_without_patience(server: Server) -> None:
    server.replies = [cut]

    with pytest.raises(Away):
        Rest(server.url, patience=0).get("runs/")

    assert len(server.asked) == 1


def test_the_proxy_of_the_environment_is_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//ann:p%40ss@"))
    monkeypatch.setenv("https_proxy", server.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    assert Rest("http://testbed.invalid:8000").get("runs/") == 7
    with pytest.raises(Away, match="Tunnel connection failed"):
        Rest("https://testbed.invalid", patience=0).get("runs/")
    assert Rest(server.url).get("users/") == 7

    there, here = server.asked
    assert (there.path, there.headers["host"]) == (
        "http://testbed.invalid:8000/api/runs/",
        "testbed.invalid:8000",
    )
    assert there.headers["proxy-authorization"] == "Basic YW5uOnBAc3M="
    assert here.path == "/api/users/"
    assert "proxy-authorization" not in here.headers
