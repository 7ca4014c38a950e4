"""The kombu transport: one connection, its heart-beats, its place in an event loop."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from kombu.transport import base, virtual
from kombu.utils.url import parse_url

from .channel import Channel, Subscription
from .destinations import Routes
from .dialect import QueueStatistics
from .frames import FRAME_LIMIT, Frame, StompError, encode
from .wire import Wire

_STATISTICS_SECONDS = 5.0
_STATISTICS_ID = "statistics"


class Transport(virtual.Transport):
    """`stomp://`: see docs/stomp-transport.md for its options and guarantees."""

    Channel = Channel
    default_port = 61613
    driver_type = driver_name = "stomp"
    connection_errors = (*virtual.Transport.connection_errors, OSError, StompError)
    recoverable_connection_errors = connection_errors
    channel_errors = virtual.Transport.channel_errors
    recoverable_channel_errors = channel_errors
    implements = base.Transport.implements.extend(
        asynchronous=True,
        batch_publish=True,
        exchange_type=frozenset(["direct", "topic", "fanout"]),
        heartbeats=True,
    )

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        self.options: dict[str, Any] = client.transport_options
        self.routes = Routes.from_options(self.options)
        self.subscriptions: dict[str, Subscription] = {}
        self._wire: Wire | None = None
        self._loop: Any = None
        self._loop_thread = 0
        self._nudge = -1

    def driver_version(self) -> str:
        return "1.2"

    @property
    def wire(self) -> Wire:
        """The connection.

        Raises:
            StompError: there is none.
        """
        if self._wire is None:
            raise StompError("not connected to the broker")
        return self._wire

    @property
    def alive(self) -> bool:
        """Whether the connection is there, as far as one knows."""
        return self._wire is not None and self._wire.failure is None

    connected = alive  # what kombu asks its connections

    def establish_connection(self) -> Transport:
        client, options = self.client, self.options
        where = _where(client)
        host, virtual_host = where["hostname"] or "127.0.0.1", where["virtual_host"]
        # Somebody calls heartbeat_check() only where kombu was given a heart-beat; the broker can always be asked for its.
        offers = float(client.heartbeat or 0)
        self.subscriptions = {}
        if self._wire is not None:
            self._wire.close()  # kombu connects anew without closing what broke
        self._wire = Wire(
            (host, where["port"] or self.default_port),
            headers={
                "host": host if virtual_host in (None, "", "/") else virtual_host,
                "login": where["userid"],
                "passcode": where["password"],
            },
            heartbeats=(offers, offers or float(options.get("heartbeat", 10))),
            timeout=float(client.connect_timeout or 10),
            tls=_tls_options(client),
            frame_limit=int(options.get("frame_limit", FRAME_LIMIT)),
        )
        super().establish_connection()
        return self

    def close_connection(self, connection: Transport) -> None:
        self.unregister_from_event_loop(connection, self._loop)
        super().close_connection(connection)  # type: ignore[arg-type]
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def verify_connection(self, connection: Transport) -> bool:
        return self.alive

    # Delivery.

    def drain_events(self, connection: Transport, timeout: float | None = None) -> None:
        """Deliver what has come; wait for a message when nothing has.

        Raises:
            TimeoutError: none in `timeout` seconds.
        """
        self.drain_until(bool, timeout)

    def drain_until(self, done: Callable[[int], object], timeout: float | None) -> None:
        """Deliver messages until `done`, which is given the number just delivered.

        Raises:
            TimeoutError: not so in `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not done(self._deliver_frames()):
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self.wire.read(left) and left == 0:
                raise TimeoutError(f"no message in {timeout} s")

    def _deliver_frames(self) -> int:
        """Deliver what was read; the number of messages that reached a consumer."""
        wire, delivered = self.wire, 0
        while wire.frames and wire is self._wire:
            frame = wire.frames.popleft()
            subscription = self.subscriptions.get(frame.headers.get("subscription", ""))
            # Without subscription it was sent before the broker saw its end: it goes to somebody else.
            if subscription is not None:
                delivered += subscription.channel.deliver(frame, subscription)
        if wire is self._wire:
            wire.flush()
        return delivered

    # Event loop.

    def register_with_event_loop(self, connection: Transport, loop: Any) -> None:
        self._loop, self._loop_thread = loop, threading.get_ident()
        loop.add_reader(self.wire, self._on_readable)
        # Frames are also read while a receipt is waited for, by the timer of heart-beats, and by threads that
        # acknowledge. A tick comes after the timers and before the loop sleeps: what is delivered there may ask for a
        # call soon, for which the loop does not wake. So it is made to wake, and delivery is an event as any other.
        self._nudge = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        loop.add_reader(self._nudge, self._on_nudge)
        loop.on_tick.add(self._on_tick)

    def unregister_from_event_loop(self, connection: Transport, loop: Any) -> None:
        if self._loop is not None:
            self._loop.on_tick.discard(self._on_tick)
            if self._wire is not None and self._wire.fileno() >= 0:
                self._loop.remove(self._wire)
            self._loop.remove(self._nudge)
            os.close(self._nudge)
        self._loop = None

    def _on_readable(self) -> None:
        self.wire.read()
        self._deliver_frames()

    @property
    def in_event_loop(self) -> bool:
        """Whether the caller is the thread of an event loop, which flushes before it sleeps."""
        return self._loop is not None and threading.get_ident() == self._loop_thread

    def _on_tick(self) -> None:
        if self._wire is None:
            return
        if self._wire.failure is None:
            self._wire.flush()
        if self._wire.frames:
            os.eventfd_write(self._nudge, 1)

    def _on_nudge(self) -> None:
        os.eventfd_read(self._nudge)
        self._deliver_frames()

    def get_heartbeat_interval(self, connection: Transport) -> float:
        return min((beat for beat in (self.wire.heartbeat_in, self.wire.heartbeat_out) if beat), default=0.0)

    def heartbeat_check(self, connection: Transport, rate: float = 2) -> None:
        if self._wire is not None:
            self._wire.beat(rate)

    # Statistics.

    def queue_statistics(self, queue: str) -> QueueStatistics:
        """Length, consumers and age of the oldest message of a queue, from the broker's statistics plugin.

        Raises:
            StompError: the plugin does not answer.
        """
        return cast("Channel", self.client.default_channel).statistics(queue)

    def destination_statistics(self, destination: str) -> QueueStatistics:
        """The same of one destination of the broker."""
        dialect, wire = self.routes.dialect, self.wire
        inbox = wire.inboxes.get(_STATISTICS_ID)
        if inbox is None:
            inbox = self.open_inbox(_STATISTICS_ID, dialect.statistics_inbox, **dialect.statistics_headers)
        target, headers = dialect.ask_statistics(destination)
        expires = int((time.time() + _STATISTICS_SECONDS) * 1000)
        wire.send(encode("SEND", {"destination": target, "expires": expires, **headers}))
        found = QueueStatistics(length=0, in_flight=0, consumers=0, oldest_age_seconds=None)
        while True:
            wire.wait(
                lambda: inbox,
                _STATISTICS_SECONDS,
                'statistics (is <statisticsBrokerPlugin/> on? else set the transport option "statistics" to False) come',
            )
            answer = dialect.read_statistics(inbox.popleft())
            if answer is None:
                return found
            # The question is a pattern: wildcards in the names of other queues match it, too.
            if answer[0] == destination:
                found = answer[1]

    # Messages that are for this module, not for a consumer.

    def open_inbox(self, name: str, destination: str, **headers: object) -> deque[Frame]:
        """Subscribe; the messages gather in the deque returned."""
        inbox = self.wire.inboxes[name] = deque()
        subscribe = {"id": name, "destination": destination, "ack": "auto", **headers}
        self.wire.send(encode("SUBSCRIBE", subscribe))
        return inbox

    def wait_inbox(self, inbox: deque[Frame], timeout: float) -> None:
        """Read until something is in `inbox`.

        Raises:
            TimeoutError: nothing in `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while not inbox:
            left = max(0.0, deadline - time.monotonic())
            if not self.wire.read(left) and not left:
                raise TimeoutError

    def close_inbox(self, name: str) -> None:
        """Unsubscribe; when this returns, the inbox holds all that came."""
        self.wire.confirm(
            encode("UNSUBSCRIBE", {"id": name, "receipt": name}), name, self.routes.receipt_timeout
        )
        self.wire.inboxes.pop(name, None)


def _where(client: Any) -> dict[str, Any]:
    """Host and login. To kombu, "stomp+ssl://..." is the transport "stomp" with a URL that it leaves unparsed."""
    if "://" in (client.hostname or ""):
        return dict(parse_url(client.hostname))
    return {
        name: getattr(client, name) for name in ("hostname", "port", "userid", "password", "virtual_host")
    }


def _tls_options(client: Any) -> dict[str, Any] | None:
    """None for a plain connection. Of "stomp+ssl", kombu's copies of a connection have the prefix only."""
    if not client.ssl and client.uri_prefix != "stomp" and client.transport_cls != "stomp+ssl":
        return None
    return client.ssl if isinstance(client.ssl, dict) else {}
