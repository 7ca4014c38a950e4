"""A connection whose other side does what no broker should."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest

from apps.agents.bus.stomp.frames import StompError, encode
from apps.agents.bus.stomp.wire import Wire

HELLO = encode("CONNECTED", {"version": "1.2", "heart-beat": "500,500"})
Serve = Callable[[Callable[[socket.socket], None]], tuple[str, int]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that answers CONNECT as the test says, and returns its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    accepted: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(answer: Callable[[socket.socket], None]) -> tuple[str, int]:
        def run() -> None:
            accepted.append(listener.accept()[0])
            accepted[-1].recv(65536)
            with suppress(OSError):  # who gives up does not wait until all is said
                answer(accepted[-1])

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        host, port = listener.getsockname()
        return host, port

    yield start
    for thread in threads:
        thread.join(60)
    for one in (*accepted, listener):
        one.close()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no STOMP command"),
        (encode("CONNECTED", {"heart-beat": "0,0"}), "STOMP 1.0 only"),
        (encode("CONNECTED", {"version": "1.2", "heart-beat": "soon"}), "no heart-beat"),
        (encode("ERROR", {"message": "go away"}), "go away"),
        (HELLO + b"MESSAGE\na:\\z\n\n\0", "undefined escape"),
        (HELLO + encode("SEND", {"destination": "x"}), "no broker sends"),
        (HELLO + b"MESSAGE\n\n" + b"x" * 2_000_000, "without end"),
        (HELLO, "heart-beat"),
        (b"", "CONNECTED"),
    ],
)
def test_it_is_given_up_with_the_reason(serve: Serve, answer: bytes, reason: str) -> None:
    address = serve(lambda peer: peer.sendall(answer))
    # Only where no answer comes is this what ends it.
    timeout = 60.0 if answer else 1.5
    began = time.monotonic()
    with pytest.raises(StompError, match=reason):
        wire = Wire(address, headers={}, heartbeats=(0, 0.5), timeout=timeout, frame_limit=1_000_000)
        with closing(wire):
            wire.wait(lambda: False, 60, "nothing")
    assert time.monotonic() - began < 30


def test_a_failed_one_fails_at_once_for_ever(serve: Serve) -> None:
    wire = Wire(serve(lambda peer: (peer.sendall(HELLO), peer.close())[0]), headers={})
    with pytest.raises(StompError, match="closed"):
        wire.wait(lambda: False, 60, "its end")
    for use in (wire.read, lambda: wire.wait(lambda: False, 5, "x"), lambda: wire.send(b"\n"), wire.flush):
        with pytest.raises(StompError, match="closed"):
            use()
    wire.close()
    wire.close()


def test_both_sides_may_send_more_than_fits(serve: Serve) -> None:
    size = 20_000_000
    received = bytearray()

    def answer(peer: socket.socket) -> None:
        # Reads nothing until all of its own is gone.
        peer.sendall(HELLO + encode("MESSAGE", {"subscription": "1"}, b"x" * size))
        while len(received) < size:
            received.extend(peer.recv(1_000_000))

    wire = Wire(serve(answer), headers={})
    wire.send(encode("SEND", {"destination": "/queue/x"}, b"y" * size))
    wire.wait(lambda: wire.frames, 60, "the message")
    assert len(wire.frames[0].body) == size
    wire.close()
