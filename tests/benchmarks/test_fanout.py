"""The benchmark of the live feed measures what it says, on few clients."""

from __future__ import annotations

import pytest

from benchmarks.api.fanout import measure
from benchmarks.api.listeners import TRANSPORTS, Listener
from tests.web import Web

CLIENTS = 5


@pytest.mark.services
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_client_gets_every_event_once_and_in_order(web: Web, transport: str) -> None:
    found = measure(
        web.url,
        web_pid=web.pid,
        transport=transport,
        clients=CLIENTS,
        seconds=1.0,
        environment=web.environment,
    )

    assert found.exact
    assert found.deliveries == CLIENTS * found.events
    assert 0 < found.p50_ms <= found.p99_ms <= found.max_ms


def test_a_transport_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="there are sse, websocket"):
        measure("http://127.0.0.1:1", web_pid=1, transport="carrier pigeon")


def test_an_event_that_comes_in_two_pieces_is_heard_once() -> None:
    listener = Listener(b"", b"let in")
    for piece in (
        b"let",
        b" in",
        b'{"subject": "event-0"} {"subj',
        b'ect": "event-1',
        b'2"} {"subject":"event-13"}',
    ):
        listener.data_received(piece)

    assert [number for number, _ in listener.heard] == [0, 12, 13]
