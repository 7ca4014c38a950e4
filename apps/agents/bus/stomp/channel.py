"""AMQP's methods, as kombu calls them, on STOMP."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kombu.message import Message
from kombu.transport import virtual
from kombu.utils.encoding import str_to_bytes
from kombu.utils.json import dumps, loads

from .dialect import QueueStatistics
from .foreign import ORIGINAL_ID, PoisonError
from .frames import Frame, StompError, encode

if TYPE_CHECKING:
    from .transport import Transport

log = logging.getLogger(__name__)

# Header of a message that carries kombu's own part in front of its body; the value is the length of that part.
ENVELOPE = "kombu_envelope"
REDELIVERED = "kombu_redelivered"
# Of one delivery, not of the message: they do not go along when it is put back.
_DELIVERY_HEADERS = frozenset(
    {"ack", "subscription", "message-id", "content-length", "redelivered", "timestamp", "original-destination"}
    | {"scheduledJobId", "brokerInTime", "brokerOutTime"}
)
_GET_SECONDS = 1.0
_PURGE_PREFETCH = 1000
_NOTHING = "1 = 0"  # the selector of a subscription that makes a queue exist


@dataclass(eq=False)
class Subscription:
    """One SUBSCRIBE. `prefetch` is 0 where the broker's default counts; `unacked` are the ids to acknowledge by.

    A cancelled one stays at the broker until what it delivered is acknowledged: ending it would deliver that again.
    """

    id: str
    channel: Channel
    queue: str
    destination: str
    callback: Callable[[Message], object]
    no_ack: bool
    prefetch: int = 0
    cancelled: bool = False
    unacked: set[str] = field(default_factory=set)


class Channel(virtual.Channel):
    """One channel. Several share the connection's socket, and its knowledge of exchanges, queues and bindings."""

    Message = Message
    connection: Transport
    supports_fanout = True
    supports_batch_publish = True
    do_restore = False

    def __init__(self, connection: Transport, **options: Any) -> None:
        super().__init__(connection, **options)
        self._routes = connection.routes
        self._prefetch = 0
        self._subscriptions: dict[str, list[Subscription]] = {}  # by consumer tag
        self._deliveries: dict[str, tuple[Frame, Subscription]] = {}  # not acknowledged, by delivery tag

    # Exchanges, queues, bindings.

    def exchange_declare(self, exchange: str | None = None, type: str = "direct", **options: Any) -> None:
        super().exchange_declare(exchange, type, **options)
        if exchange and not options.get("passive"):
            self._routes.exchange_types[exchange] = type

    def _new_queue(self, queue: str, **options: Any) -> None:
        if options.get("durable") and not options.get("auto_delete"):
            self._routes.durable_queues.add(queue)
        feed = self._routes.feeds.get(queue)
        if feed and feed.destination and feed.destination.startswith("/queue/"):
            self._make_exist(feed.destination)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        if queue in self._routes.durable_queues and self._routes.broadcasts(exchange):
            self._make_exist(self._routes.binding(queue, exchange, routing_key))

    def _make_exist(self, destination: str) -> None:
        """From now on the broker keeps what comes, even if nobody has ever read it."""
        wire = self.connection.wire
        name = f"bind-{wire.number()}"
        subscribe = {"id": name, "destination": destination, "ack": "client-individual", "selector": _NOTHING}
        wire.send(encode("SUBSCRIBE", subscribe) + encode("UNSUBSCRIBE", {"id": name}))

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **_: Any) -> None:  # noqa: FBT001, FBT002
        """Forget the bindings, and empty a durable queue; STOMP has no way to remove it from the broker."""
        if queue in self._routes.durable_queues and not (if_empty and self._size(queue)):
            self._purge(queue)
            self._routes.durable_queues.discard(queue)
        self.state.queue_bindings_delete(queue)

    def _sources(self, queue: str) -> list[str]:
        bindings = [(bound.exchange, bound.routing_key) for bound in self.state.queue_bindings(queue)]
        return self._routes.sources(queue, bindings)

    def _targets(self, exchange: str, routing_key: str) -> list[str]:
        if not exchange:
            return [self._routes.own(routing_key)]
        if self._routes.broadcasts(exchange):
            return [self._routes.target(exchange, routing_key)]
        known = self._lookup(exchange, routing_key)
        # Bound by somebody else: a reply of remote control goes to the queue "<routing key>.<exchange>".
        return [self._routes.own(queue) for queue in known or [f"{routing_key}.{exchange}"]]

    # Numbers.

    def statistics(self, queue: str) -> QueueStatistics:
        """What the broker says of all destinations that feed `queue`."""
        found = [self.connection.destination_statistics(source) for source in self._stored(queue)]
        ages = [one.oldest_age_seconds for one in found if one.oldest_age_seconds is not None]
        return QueueStatistics(
            length=sum(one.length for one in found),
            in_flight=sum(one.in_flight for one in found),
            consumers=sum(one.consumers for one in found),
            oldest_age_seconds=max(ages, default=None),
        )

    def _stored(self, queue: str) -> list[str]:
        return [source for source in self._sources(queue) if source.startswith("/queue/")]

    def _size(self, queue: str) -> int:
        return self.statistics(queue).length if self.connection.options.get("statistics", True) else 0

    def _purge(self, queue: str) -> int:
        """Take all ready messages off the queue; returns their number."""
        return sum(self._drain(source) for source in self._stored(queue))

    def _drain(self, source: str) -> int:
        wire, taken = self.connection.wire, 0
        name = f"purge-{wire.number()}"
        inbox = self.connection.open_inbox(name, source, **self._routes.dialect.prefetch(_PURGE_PREFETCH))
        try:
            with suppress(TimeoutError):
                while self._has_ready(source):
                    self.connection.wait_inbox(inbox, _GET_SECONDS)
                    taken += len(inbox)
                    inbox.clear()
        finally:
            # Once it is confirmed, nothing more can come.
            self.connection.close_inbox(name)
        return taken + len(inbox)

    def _has_ready(self, source: str) -> bool:
        if not self.connection.options.get("statistics", True):
            return True
        now = self.connection.destination_statistics(source)
        return now.length > now.in_flight

    # Publishing.

    def basic_publish(
        self, message: dict[str, Any], exchange: str, routing_key: str, confirm_timeout: float | None = None, **_: Any
    ) -> None:
        """Send; a persistent message is confirmed by the broker before this returns.

        Raises:
            StompError: it is not known whether the broker has it.
        """
        for headers, body, text in self._outgoing(message, exchange, routing_key):
            wire = self.connection.wire
            if "persistent" not in headers:
                wire.send(encode("SEND", headers, body, content_length=not text))
                continue
            receipt = f"{wire.number()}"
            headers["receipt"] = receipt
            data = encode("SEND", headers, body, content_length=not text)
            wire.confirm(data, receipt, confirm_timeout or self.connection.receipt_timeout)

    def create_publish_batch(self, max_size: int) -> PublishBatch:
        """For kombu's `producer.batch()`."""
        return PublishBatch(self, max_size)

    def _outgoing(
        self, message: dict[str, Any], exchange: str, routing_key: str
    ) -> Iterator[tuple[dict[str, Any], bytes, bool]]:
        """Headers and body of each SEND, and whether it is a text for other clients."""
        outlet = self._routes.outlets.get(exchange)
        if outlet is not None:
            body, fields = outlet.document(str_to_bytes(message["body"]))
            headers: dict[str, Any] = {
                **fields,
                "destination": outlet.destination.replace("{routing_key}", routing_key),
                "persistent": "true",
            }
            yield {**headers, "content-type": "application/json"}, body, True
            return
        properties = dict(message["properties"])
        properties.pop("delivery_info", None)
        body = str_to_bytes(message["body"])
        envelope = dumps(
            {
                "headers": message["headers"],
                "properties": properties,
                "content_type": message["content-type"],
                "content_encoding": message["content-encoding"],
                "exchange": exchange,
                "routing_key": routing_key,
            }
        ).encode()
        common = {ENVELOPE: len(envelope), **self._broker_headers(message["headers"], properties)}
        for target in self._targets(exchange, routing_key):
            yield {"destination": target, **common}, envelope + body, False

    def _broker_headers(self, headers: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
        dialect, made = self._routes.dialect, {}
        if properties.get("delivery_mode", 2) == 2:
            made["persistent"] = "true"
        if properties.get("priority"):
            made["priority"] = dialect.priority(int(properties["priority"]))
        if properties.get("expiration"):
            made["expires"] = int(time.time() * 1000) + int(properties["expiration"])
        if eta := headers.get("eta"):
            delay = datetime.fromisoformat(eta.replace("Z", "+00:00")).timestamp() - time.time()
            lead = self.connection.options.get("eta_lead", 0.6)
            if delay > lead:
                made |= dialect.delayed(delay - lead)
        return made

    # Consuming.

    def basic_qos(self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False) -> None:  # noqa: FBT001, FBT002
        """Set how many unacknowledged messages a consumer may have: exactly at first, later at least that many.

        STOMP cannot change a subscription: more come by further ones, which double, so that growing by one at a time, as
        Celery does for tasks with an ETA, needs few of them; less by ending those that are not needed.
        """
        self._prefetch = prefetch_count
        for tag, subscriptions in self._subscriptions.items():
            for destination in dict.fromkeys(one.destination for one in subscriptions):
                self._resize(tag, [one for one in subscriptions if one.destination == destination], prefetch_count)

    def _resize(self, tag: str, subscriptions: list[Subscription], wanted: int) -> None:
        first, *extra = subscriptions
        if not first.prefetch or not wanted:
            return
        more = sum(one.prefetch for one in extra)
        while extra and first.prefetch + more - extra[-1].prefetch >= wanted:
            last = extra.pop()
            more -= last.prefetch
            self._subscriptions[tag].remove(last)
            self._cancel(last)
        if (missing := wanted - first.prefetch - more) > 0:
            self._subscribe(tag, first.queue, first.destination, first.callback, max(missing, more))

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[[Message], object], consumer_tag: str, **_: Any  # noqa: FBT001
    ) -> None:
        self._consumers.add(consumer_tag)
        for source in self._sources(queue):
            self._subscribe(consumer_tag, queue, source, callback, self._prefetch, no_ack=no_ack)

    def _subscribe(
        self,
        tag: str,
        queue: str,
        destination: str,
        callback: Callable[[Message], object],
        prefetch: int,
        *,
        no_ack: bool = False,
    ) -> Subscription:
        is_queue = destination.startswith("/queue/")
        wire, feed = self.connection.wire, self._routes.feeds.get(queue)
        made = Subscription(
            f"{self.channel_id}-{wire.number()}", self, queue, destination, callback, no_ack or not is_queue
        )
        headers: dict[str, object] = {
            "id": made.id,
            "destination": destination,
            "ack": "auto" if made.no_ack else "client-individual",
        }
        if is_queue:
            made.prefetch = prefetch
            headers |= self._routes.dialect.prefetch(prefetch)
        if feed and feed.selector:
            headers["selector"] = f"({feed.selector}) OR {ENVELOPE} IS NOT NULL"
        self.connection.subscriptions[made.id] = made
        self._subscriptions.setdefault(tag, []).append(made)
        wire.send(encode("SUBSCRIBE", headers))
        return made

    def basic_cancel(self, consumer_tag: str) -> None:
        self._consumers.discard(consumer_tag)
        for subscription in self._subscriptions.pop(consumer_tag, ()):
            self._cancel(subscription)

    def _cancel(self, subscription: Subscription) -> None:
        subscription.cancelled = True
        self._end_if_done(subscription)

    def _end_if_done(self, subscription: Subscription) -> None:
        # Taken out in one step: only one of two threads that acknowledge the last messages ends it.
        if subscription.cancelled and not subscription.unacked:
            self._unsubscribe(subscription)

    def _unsubscribe(self, subscription: Subscription) -> None:
        if self.connection.subscriptions.pop(subscription.id, None) and self.connection.alive:
            self.connection.wire.send(encode("UNSUBSCRIBE", {"id": subscription.id}))

    def basic_get(self, queue: str, no_ack: bool = False, **_: Any) -> Message | None:  # noqa: FBT001, FBT002
        """One message, or None if none has come in a second."""
        found: list[Message] = []
        tag = f"get-{self.connection.wire.number()}"
        for source in self._sources(queue):
            self._subscribe(tag, queue, source, found.append, 1)
            try:
                with suppress(TimeoutError):
                    self.connection.drain_until(lambda _: found, _GET_SECONDS)
            finally:
                # An unacknowledged message keeps the subscription; a second one it holds goes back with it.
                self.basic_cancel(tag)
            if found:
                if no_ack:
                    found[0].ack()
                return found[0]
        return None

    def deliver(self, frame: Frame, subscription: Subscription) -> bool:
        """Hand a MESSAGE to its consumer; False when there was nothing in it for Celery."""
        if subscription.cancelled:
            return False  # it goes back when the subscription ends
        message = self._incoming(frame, subscription.queue)
        if message is None:
            return False
        if not subscription.no_ack:
            subscription.unacked.add(message.delivery_tag)
            self._deliveries[message.delivery_tag] = (frame, subscription)
        subscription.callback(message)
        return True

    def _incoming(self, frame: Frame, queue: str) -> Message | None:
        if ENVELOPE in frame.headers:
            try:
                return self._from_envelope(frame)
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                log.error("a message on %s has no envelope that kombu makes: %r", queue, error)
        elif feed := self._routes.feeds.get(queue):
            try:
                if not feed.wants(feed.document(frame)):
                    self._post("ACK", frame)
                    return None
                return self._message(frame, *feed.as_task(frame), routing_key=queue)
            except PoisonError as error:
                if task := feed.as_poison_task(frame, str(error)):
                    return self._message(frame, *task, routing_key=queue)
                log.error("a message on %s goes to the dead letters: %s", queue, error)
        else:
            log.error("a message on %s is not of kombu's making, and its queue is no foreign feed", queue)
        self._post("NACK", frame)
        return None

    def _from_envelope(self, frame: Frame) -> Message:
        length = int(frame.headers[ENVELOPE])
        envelope = loads(frame.body[:length])
        return self._message(frame, body=frame.body[length:], **envelope)

    def _message(
        self,
        frame: Frame,
        headers: dict[str, Any],
        body: bytes,
        *,
        properties: dict[str, Any] | None = None,
        content_type: str = "application/json",
        content_encoding: str = "utf-8",
        exchange: str = "",
        routing_key: str = "",
    ) -> Message:
        got = frame.headers
        redelivered = got.get("redelivered") == "true" or REDELIVERED in got
        info = {"exchange": exchange, "routing_key": routing_key, "redelivered": redelivered}
        return Message(
            body,
            channel=self,
            delivery_tag=got.get("ack") or got["message-id"],
            content_type=content_type,
            content_encoding=content_encoding,
            headers=headers,
            properties=properties or {"correlation_id": headers["id"], "reply_to": None},
            delivery_info={**info, "priority": (properties or {}).get("priority", 0)},
        )

    # Acknowledging, from any thread.

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:  # noqa: FBT001, FBT002
        self._settle(delivery_tag, lambda frame: encode("ACK", {"id": frame.headers["ack"]}))

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002
        """To the broker's dead letters, or to the end of the queue."""
        put_back = self._put_back if requeue else lambda frame: encode("NACK", {"id": frame.headers["ack"]})
        self._settle(delivery_tag, put_back)

    def _settle(self, delivery_tag: str, frames: Callable[[Frame], bytes]) -> None:
        frame, subscription = self._deliveries.pop(delivery_tag, (None, None))
        if frame is not None and subscription is not None:
            self.connection.wire.send(frames(frame))
            subscription.unacked.discard(delivery_tag)
            self._end_if_done(subscription)

    def _put_back(self, frame: Frame) -> bytes:
        # Copy and acknowledgement are one transaction, which a broken connection rolls back: no receipt is needed.
        ours = {"transaction": f"t{self.connection.wire.number()}"}
        kept = {name: value for name, value in frame.headers.items() if name not in _DELIVERY_HEADERS}
        kept.setdefault(ORIGINAL_ID, frame.headers.get("message-id", ""))
        copy = encode(
            "SEND",
            {**kept, **ours, REDELIVERED: "true"},
            frame.body,
            content_length="content-length" in frame.headers,
        )
        ack = encode("ACK", {"id": frame.headers["ack"], **ours})
        return encode("BEGIN", ours) + copy + ack + encode("COMMIT", ours)

    def _post(self, command: str, frame: Frame) -> None:
        if "ack" in frame.headers:
            self.connection.wire.post(encode(command, {"id": frame.headers["ack"]}))

    def basic_recover(self, requeue: bool = False) -> None:  # noqa: FBT001, FBT002
        """Put all unacknowledged messages back."""
        for delivery_tag in list(self._deliveries):
            self.basic_reject(delivery_tag, requeue=True)

    def close(self) -> None:
        """End all subscriptions, also of cancelled consumers; the broker delivers again what is not acknowledged."""
        if self.closed:
            return
        with suppress(StompError):
            for subscription in list(self.connection.subscriptions.values()):
                if subscription.channel is self:
                    self._unsubscribe(subscription)
        self._deliveries.clear()
        self._subscriptions.clear()
        super().close()


class PublishBatch:
    """What kombu's `producer.batch()` collects: sent as one transaction, with one receipt, when the block ends.

    All of a flush arrives or nothing. With more than `max_size` messages in the block, there are several.
    """

    def __init__(self, channel: Channel, max_size: int) -> None:
        self.channel = channel
        self._max_size = max_size
        self._sends: list[tuple[dict[str, Any], bytes, bool]] = []

    def publish(self, message: dict[str, Any], exchange: str, routing_key: str, **_: Any) -> None:
        """Add a message, and send all when there are `max_size`."""
        self._sends += self.channel._outgoing(message, exchange, routing_key)
        if len(self._sends) >= self._max_size:
            self.flush()

    def flush(self) -> None:
        """Send and wait until the broker has confirmed.

        Raises:
            StompError: it is not known whether the broker has them.
        """
        sends, self._sends = self._sends, []
        if not sends:
            return
        transport = self.channel.connection
        ours = {"transaction": f"t{transport.wire.number()}"}
        frames = [encode("SEND", {**headers, **ours}, body, content_length=not text) for headers, body, text in sends]
        data = encode("BEGIN", ours) + b"".join(frames) + encode("COMMIT", {**ours, "receipt": ours["transaction"]})
        transport.wire.confirm(data, ours["transaction"], transport.receipt_timeout)

    def discard(self) -> None:
        """Forget what was not sent."""
        self._sends.clear()

    def close(self) -> None:
        """Nothing is left to be done."""
