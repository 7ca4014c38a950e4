"""A STOMP connection on a socket that never blocks: sending, reading, receipts, heart-beats."""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from typing import Any

from .frames import FRAME_LIMIT, Frame, Parser, RefusedError, StompError, encode

_WOULD_BLOCK = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_READ_SIZE = 256 * 1024
_POLL_ERRORS = select.POLLERR | select.POLLHUP | select.POLLNVAL
# Silence for so many of its intervals means that the broker is gone.
_MISSED_BEATS = 2

_wires: weakref.WeakSet[Wire] = weakref.WeakSet()


def _close_in_child() -> None:
    # Otherwise the broker would believe a killed parent alive for as long as a child holds the socket.
    for wire in list(_wires):
        wire.close()


os.register_at_fork(after_in_child=_close_in_child)


class Wire:
    """One connection to one broker, from CONNECT to DISCONNECT.

    Any thread may send; whoever finds the socket full reads meanwhile, so that neither side waits for the other.
    MESSAGE frames gather in `frames`, but for those of subscriptions in `inboxes`, which have a deque each.
    `heartbeat_in` and `heartbeat_out` are the agreed intervals in seconds, 0 for none.
    """

    def __init__(
        self,
        address: tuple[str, int],
        *,
        headers: Mapping[str, object],
        heartbeats: tuple[float, float] = (0, 0),
        timeout: float = 10.0,
        tls: Mapping[str, Any] | None = None,
        frame_limit: int = FRAME_LIMIT,
    ) -> None:
        """Connect.

        Args:
            headers: of the CONNECT frame, beyond what this class knows.
            heartbeats: seconds between those that this side can send, and those that it wants; 0 for none.
            timeout: seconds for the whole of it.
            tls: None for a plain connection; see `tls_context`.

        Raises:
            OSError, StompError: there is no connection.
        """
        deadline = time.monotonic() + timeout
        self.frames: deque[Frame] = deque()
        self.inboxes: dict[str, deque[Frame]] = {}
        self.failure: StompError | None = None
        self.heartbeat_in = self.heartbeat_out = 0.0
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._out = bytearray()
        self._receipts: set[str] = set()
        self._connected: Frame | None = None
        self._numbers = count(1)
        self._parser = Parser(frame_limit)
        self.last_in = self.last_out = time.monotonic()
        self.socket = _connect(address, timeout, tls)
        try:
            offers, wants = (int(seconds * 1000) for seconds in heartbeats)
            beats = {"accept-version": "1.2", "heart-beat": f"{offers},{wants}"}
            self.send(encode("CONNECT", {**beats, **headers}))
            self.wait(lambda: self._connected, deadline - time.monotonic(), "CONNECTED")
            self._agree(offers, wants)
        except BaseException:
            self.socket.close()
            raise
        _wires.add(self)

    def _agree(self, offers: int, wants: int) -> None:
        connected = self._connected.headers if self._connected else {}
        if connected.get("version") != "1.2":
            raise StompError(f"the broker speaks STOMP {connected.get('version', '1.0')} only")
        try:
            theirs, asked = map(int, connected.get("heart-beat", "0,0").split(","))
        except ValueError:
            raise StompError(f"no heart-beat header: {connected['heart-beat']!r}") from None
        self.heartbeat_in = max(wants, theirs) / 1000 if wants and theirs else 0.0
        self.heartbeat_out = max(offers, asked) / 1000 if offers and asked else 0.0

    def fileno(self) -> int:
        """Of the socket, for event loops; -1 once it is closed."""
        return self.socket.fileno()

    def number(self) -> int:
        """A number that was not given before, for ids."""
        return next(self._numbers)

    def post(self, data: bytes) -> None:
        """Send with what is sent next, or at the next `flush`."""
        with self._lock:
            self._out += data

    def send(self, data: bytes) -> None:
        """Hand whole frames over to the kernel.

        Raises:
            StompError: the connection is broken, or the broker takes no data and sends no heart-beats.
        """
        self.post(data)
        self.flush()

    def flush(self) -> None:
        """Hand over what is waiting to be sent."""
        while not self._guarded(self._send_some):
            self._poll(select.POLLIN | select.POLLOUT, 1.0)
            self._guarded(self._receive)

    def confirm(self, data: bytes, receipt: str, timeout: float) -> None:
        """Send frames, the last of which asks for `receipt`, and wait for it: `timeout` seconds at most."""
        self.send(data)
        self.wait(lambda: receipt in self._receipts, timeout, "a receipt")
        self._receipts.discard(receipt)

    def wait(self, done: Callable[[], object], timeout: float, what: str) -> None:
        """Read until `done()` says something true.

        Raises:
            StompError: not so in `timeout` seconds, or the connection broke.
        """
        deadline = time.monotonic() + timeout
        while not done():
            if not self.read(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                raise self._fail(StompError(f"no {what} from the broker in {timeout:.0f} s"))

    def read(self, timeout: float | None = 0.0) -> bool:
        """Read what has come, waiting at most `timeout` seconds (None: for ever) for it; False when nothing has."""
        ready = timeout == 0 or self._poll(select.POLLIN, timeout)
        return self._guarded(self._receive) if ready else False

    def beat(self, rate: float) -> None:
        """Send a heart-beat when one is due; to be called `rate` times per interval.

        Raises:
            StompError: the broker's own have not come.
        """
        if self.heartbeat_out and time.monotonic() - self.last_out > self.heartbeat_out / rate / 2:
            self.send(b"\n")
        if not self.read():
            self._check_silence()

    def close(self) -> None:
        """Say good-bye, if the connection is this process's own and works, and close the socket. Never raises."""
        if os.getpid() == self._pid and self.failure is None:
            with suppress(OSError), self._lock:
                self._out += encode("DISCONNECT", {})
                self._send_some()
        self.failure = self.failure or StompError("the connection is closed")
        self.socket.close()

    # What follows touches the socket. An SSL object must not be used by two threads at once, hence one lock.

    def _guarded(self, action: Callable[[], bool]) -> bool:
        if os.getpid() != self._pid:
            raise StompError("the connection belongs to the process that forked this one")
        with self._lock:
            if self.failure is not None:
                raise StompError(str(self.failure))
            try:
                return action()
            except StompError as error:
                raise self._fail(error) from None
            except OSError as error:
                raise self._fail(StompError(f"the connection broke: {error}")) from error

    def _send_some(self) -> bool:
        """Whether everything is sent."""
        while self._out:
            try:
                sent = self.socket.send(self._out)
            except _WOULD_BLOCK:
                return False
            del self._out[:sent]
            self.last_out = time.monotonic()
        return True

    def _receive(self) -> bool:
        """Whether anything has come."""
        came = False
        while True:
            try:
                data = self.socket.recv(_READ_SIZE)
            except _WOULD_BLOCK:
                return came
            if not data:
                raise StompError("the broker closed the connection")
            came = True
            self.last_in = time.monotonic()
            for frame in self._parser.feed(data):
                self._sort(frame)
            # A TLS socket may hold decrypted data that no poll tells of: it is read until it says so.
            if len(data) < _READ_SIZE and not isinstance(self.socket, ssl.SSLSocket):
                return came

    def _sort(self, frame: Frame) -> None:
        if frame.command == "MESSAGE":
            self.inboxes.get(frame.headers.get("subscription", ""), self.frames).append(frame)
        elif frame.command == "RECEIPT":
            self._receipts.add(frame.headers.get("receipt-id", ""))
        elif frame.command == "CONNECTED":
            self._connected = frame
        elif frame.command == "ERROR":
            reason = frame.headers.get("message") or frame.body[:500].decode(errors="replace")
            raise RefusedError(f"the broker says: {reason}")
        else:
            raise StompError(f"a frame that no broker sends: {frame.command}")

    def _poll(self, events: int, timeout: float | None) -> bool:
        """Whether one of `events` came about in `timeout` seconds."""
        if self.fileno() < 0:
            raise StompError(str(self.failure or "the connection is closed"))
        deadline = None if timeout is None else time.monotonic() + timeout
        poll = select.poll()
        poll.register(self.socket, events)
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            silence = self._patience()
            milliseconds = min((s for s in (left, silence) if s is not None), default=None)
            # Rounded up: a poll of 0 ms for what is left would spin.
            if poll.poll(None if milliseconds is None else int(milliseconds * 1000) + 1):
                return True
            self._check_silence()
            if deadline is not None and time.monotonic() >= deadline:
                return False

    def _patience(self) -> float | None:
        """Seconds until a broker that stays silent counts as gone; None when it sends no heart-beats."""
        if not self.heartbeat_in:
            return None
        return max(0.0, self.last_in + _MISSED_BEATS * self.heartbeat_in - time.monotonic())

    def _check_silence(self) -> None:
        if self._patience() == 0:
            raise self._fail(
                StompError(
                    f"nothing from the broker for {time.monotonic() - self.last_in:.1f} s, no heart-beat"
                )
            )

    def _fail(self, error: StompError) -> StompError:
        """Have every later use fail as well; wakes the event loop, which reads the end of the stream."""
        if self.failure is None:
            self.failure = error
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
        return error


def _connect(address: tuple[str, int], timeout: float, tls: Mapping[str, Any] | None) -> socket.socket:
    plain = socket.create_connection(address, timeout)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if tls is not None:
            name = tls.get("server_hostname", address[0])
            plain = tls_context(tls).wrap_socket(plain, server_hostname=name)
        plain.settimeout(0)
    except BaseException:
        plain.close()
        raise
    return plain


def tls_context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """TLS as Celery's `broker_use_ssl` says.

    Args:
        options: `ca_certs` (file of authorities; the system's without it), `certfile` and `keyfile` (the client's own),
            `cert_reqs` (`ssl.CERT_NONE` to believe any broker), `server_hostname` (the name to be verified, when it is
            not that of the URL).
    """
    context = ssl.create_default_context(cafile=options.get("ca_certs"))
    if options.get("cert_reqs", ssl.CERT_REQUIRED) == ssl.CERT_NONE:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if options.get("certfile"):
        context.load_cert_chain(options["certfile"], options.get("keyfile"))
    return context
