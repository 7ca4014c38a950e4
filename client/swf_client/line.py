"""One connection to the broker, by stomp.py: it is made, it gives one frame after the other, it breaks."""

from __future__ import annotations

import queue
import time
from collections import deque
from typing import Any

import stomp

from .errors import Away, Refused, SettingMissing

CONNECT_SECONDS = 10.0
_GOODBYE_SECONDS = 2.0
_HEARTBEAT_MILLISECONDS = 10_000
# Before, it believed any broker unless it was given authorities.
_VERIFIES_SINCE = 9
_LOGIN_REFUSED = ("securityexception", "password", "not authorized", "unable to validate user")


class Line:
    """A subscription to one queue. Not to be used again after an error."""

    def __init__(self, hosts: list[tuple[str, int]], *, tls: bool, ca_certs: str) -> None:
        """
        Raises:
            SettingMissing: the broker's certificate could not be verified.
        """
        self._inbox: queue.Queue[Any] = queue.Queue()
        self._early: deque[Any] = deque()
        self._connection = stomp.Connection12(
            hosts,
            heartbeats=(_HEARTBEAT_MILLISECONDS, _HEARTBEAT_MILLISECONDS),
            reconnect_attempts_max=1,
            timeout=CONNECT_SECONDS,
        )
        if tls:
            _check_verification(ca_certs)
            self._connection.set_ssl(for_hosts=hosts, ca_certs=ca_certs or None)
        self._connection.set_listener("", _Listener(self._inbox))

    def open(self, user: str, password: str, destination: str, prefetch: int) -> None:
        """Log in and subscribe.

        Raises:
            Refused: the broker does not let this user in.
            Away: it does not answer.
        """
        try:
            deadline = time.monotonic() + CONNECT_SECONDS
            self._connection.connect(user, password)
            self._await_login(user, deadline)
            # Only once it is confirmed does the queue keep what comes.
            headers = {"activemq.prefetchSize": str(prefetch), "receipt": "subscribed"}
            self._connection.subscribe(destination, id="1", ack="client-individual", headers=headers)
            self._await("RECEIPT", deadline)
        except (OSError, stomp.exception.StompException) as error:
            raise Away(_words(error, "the broker cannot be reached")) from error

    def next_frame(self) -> Any:
        """The next message, waited for without end; the broker's heartbeats show that the wait makes sense.

        Raises:
            Away: the connection has ended.
        """
        return self._early.popleft() if self._early else self._next(None)

    def acknowledge(self, frame: Any) -> None:
        """The message has been handled.

        Raises:
            Away: the connection has ended; the message comes again.
        """
        self._answer(self._connection.ack, frame)

    def reject(self, frame: Any) -> None:
        """The message can never be handled: the broker puts it to its dead letters.

        Raises:
            Away: the connection has ended; the message comes again.
        """
        self._answer(self._connection.nack, frame)

    def close(self) -> None:
        """Leave. What was not acknowledged is the broker's again."""
        try:
            if self._connection.is_connected():
                self._connection.disconnect()
                # Only when the broker ends the connection has it all acknowledgements.
                deadline = time.monotonic() + _GOODBYE_SECONDS
                while True:
                    self._next(deadline - time.monotonic())
        except (Away, OSError, stomp.exception.StompException):
            pass  # that end, or an earlier one
        if self._connection.transport.running:
            self._connection.transport.disconnect_socket()

    def _await_login(self, user: str, deadline: float) -> None:
        try:
            self._await("CONNECTED", deadline)
        except Away as error:
            if any(sign in str(error).lower() for sign in _LOGIN_REFUSED):
                raise Refused(
                    f"the broker does not let {user!r} in (ACTIVEMQ_USER, ACTIVEMQ_PASSWORD): {error}"
                ) from error
            raise

    def _await(self, command: str, deadline: float) -> None:
        while (frame := self._next(deadline - time.monotonic())).cmd != command:
            self._early.append(frame)

    def _next(self, seconds: float | None) -> Any:
        try:
            found = self._inbox.get(timeout=None if seconds is None else max(seconds, 0.0))
        except queue.Empty:
            raise Away(f"the broker has said nothing for {CONNECT_SECONDS:.0f} s") from None
        if isinstance(found, str):
            raise Away(found)
        return found

    def _answer(self, command: Any, frame: Any) -> None:
        try:
            command(frame.headers["ack"])
        except (OSError, stomp.exception.StompException) as error:
            raise Away(_words(error, "the broker has ended the connection")) from error


def _check_verification(ca_certs: str) -> None:
    """Go on if stomp.py will verify the broker's certificate.

    Raises:
        SettingMissing: it would believe any broker.
    """
    if not ca_certs and int(str(stomp.__version__).partition(".")[0]) < _VERIFIES_SINCE:
        raise SettingMissing(
            f"stomp.py {stomp.__version__} verifies a broker by ACTIVEMQ_SSL_CA_CERTS only: set it to a file of authorities"
        )


class _Listener(stomp.ConnectionListener):  # type: ignore[misc] # stomp.py has no types
    """Hands on what stomp.py's threads see: frames, and the reason when there will be no more."""

    def __init__(self, inbox: queue.Queue[Any]) -> None:
        self._inbox = inbox

    def on_connected(self, frame: Any) -> None:
        self._inbox.put(frame)

    def on_message(self, frame: Any) -> None:
        self._inbox.put(frame)

    def on_receipt(self, frame: Any) -> None:
        self._inbox.put(frame)

    def on_error(self, frame: Any) -> None:
        said = frame.headers.get("message") or str(frame.body).partition("\n")[0]
        self._inbox.put(f"the broker says: {said}")

    def on_heartbeat_timeout(self) -> None:
        self._inbox.put("the broker's heartbeats have ceased")

    def on_disconnected(self) -> None:
        self._inbox.put("the broker has ended the connection")


def _words(error: Exception, otherwise: str) -> str:
    """stomp.py's own errors say nothing."""
    return str(error) or otherwise
