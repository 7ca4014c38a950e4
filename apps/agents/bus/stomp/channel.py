"""AMQP's methods, as kombu calls them, on STOMP."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kombu import message as kombu_message
from kombu.transport import virtual

from .dialect import QueueStatistics, total
from .foreign import PoisonError
from .frames import Frame, StompError, encode
from .messages import ENVELOPE, Send, as_sends, from_envelope, make_message, put_back

if TYPE_CHECKING:
    from .transport import Transport

log = logging.getLogger(__name__)

Callback = Callable[[kombu_message.Message], object]
_GET_SECONDS = 1.0
# What the broker says that it has comes, though it may be busy; what it keeps all the same is not for us.
_PURGE_SECONDS = 10.0
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
    callback: Callback
    no_ack: bool
    prefetch: int = 0
    cancelled: bool = False
    unacked: set[str] = field(default_factory=set)


class Channel(virtual.Channel):
    """One channel. Several share the connection's socket, and its knowledge of exchanges, queues and bindings."""

    Message = kombu_message.Message  # type: ignore[assignment]
    connection: Transport
    channel_id: int
    closed: bool
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
            if queue in self._routes.feeds:
                self.make_exist(self._routes.own(queue))

    def _queue_bind(self, exchange: str, routing_key: str, pattern: object, queue: str) -> None:
        if queue in self._routes.durable_queues and self._routes.broadcasts(exchange):
            self.make_exist(self._routes.binding(queue, exchange, routing_key))

    def make_exist(self, destination: str) -> None:
        """From now on the broker keeps what comes, even if nobody has ever read it."""
        wire = self.connection.wire
        name = f"bind-{wire.number()}"
        subscribe = {"id": name, "destination": destination, "ack": "client-individual", "selector": _NOTHING}
        frames = encode("SUBSCRIBE", subscribe) + encode("UNSUBSCRIBE", {"id": name, "receipt": name})
        wire.confirm(frames, name, self._routes.receipt_timeout)

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **_: Any) -> None:
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
        return total(self.connection.destination_statistics(source) for source in self._stored(queue))

    def _stored(self, queue: str) -> list[str]:
        return [source for source in self._sources(queue) if source.startswith("/queue/")]

    def _size(self, queue: str) -> int:
        return self.statistics(queue).length if self._routes.has_statistics else 0

    def _purge(self, queue: str) -> int:
        """Take all ready messages off the queue; returns their number."""
        return sum(self._drain(source) for source in self._stored(queue))

    def _drain(self, source: str) -> int:
        taken, name = 0, f"purge-{self.connection.wire.number()}"
        inbox = self.connection.open_inbox(name, source, **self._routes.dialect.prefetch(_PURGE_PREFETCH))
        has_statistics = self._routes.has_statistics
        try:
            with suppress(TimeoutError):
                while not has_statistics or self.connection.destination_statistics(source).ready:
                    self.connection.wait_inbox(inbox, _PURGE_SECONDS if has_statistics else _GET_SECONDS)
                    taken += len(inbox)
                    inbox.clear()
        finally:
            # Once it is confirmed, nothing more can come.
            self.connection.close_inbox(name)
        return taken + len(inbox)

    # Publishing.

    def basic_publish(
        self,
        message: dict[str, Any],
        exchange: str,
        routing_key: str,
        confirm_timeout: float | None = None,
        **_: Any,
    ) -> None:
        """Send; a persistent message is confirmed by the broker before this returns.

        Raises:
            StompError: it is not known whether the broker has it.
        """
        wire = self.connection.wire
        for send in self.as_sends(message, exchange, routing_key):
            if "persistent" in send.headers:
                receipt = f"{wire.number()}"
                wire.confirm(
                    send.encode(receipt=receipt), receipt, confirm_timeout or self._routes.receipt_timeout
                )
            else:
                wire.send(send.encode())

    def as_sends(self, message: dict[str, Any], exchange: str, routing_key: str) -> list[Send]:
        """The SENDs that a message makes."""
        targets = self._targets(exchange, routing_key)
        return list(as_sends(self._routes, message, exchange, routing_key, targets))

    def create_publish_batch(self, max_size: int) -> PublishBatch:
        """For kombu's `producer.batch()`."""
        return PublishBatch(self, max_size)

    # Consuming.

    def basic_qos(self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False) -> None:
        """Set how many unacknowledged messages a consumer may have: exactly at first, later at least that many.

        STOMP cannot change a subscription: more come by further ones, which double, so that growing by one at a time, as
        Celery does for tasks with an ETA, needs few of them; less by ending those that are not needed.
        """
        self._prefetch = prefetch_count
        for tag, subscriptions in self._subscriptions.items():
            for destination in dict.fromkeys(one.destination for one in subscriptions):
                self._resize(
                    tag, [one for one in subscriptions if one.destination == destination], prefetch_count
                )

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
        self, queue: str, no_ack: bool, callback: Callback, consumer_tag: str, **_: Any
    ) -> None:
        self._consumers.add(consumer_tag)
        for source in self._sources(queue):
            self._subscribe(consumer_tag, queue, source, callback, self._prefetch, no_ack=no_ack)

    def _subscribe(
        self,
        tag: str,
        queue: str,
        destination: str,
        callback: Callback,
        prefetch: int,
        *,
        no_ack: bool = False,
    ) -> None:
        wire, feed = self.connection.wire, self._routes.feeds.get(queue)
        is_queue = destination.startswith("/queue/")
        subscription_id, no_ack = f"{self.channel_id}-{wire.number()}", no_ack or not is_queue
        made = Subscription(
            subscription_id, self, queue, destination, callback, no_ack, prefetch if is_queue else 0
        )
        headers = {
            "id": made.id,
            "destination": destination,
            "ack": "auto" if no_ack else "client-individual",
        }
        if feed and feed.selector:
            headers["selector"] = f"({feed.selector}) OR {ENVELOPE} IS NOT NULL"
        self.connection.subscriptions[made.id] = made
        self._subscriptions.setdefault(tag, []).append(made)
        wire.send(encode("SUBSCRIBE", {**headers, **self._routes.dialect.prefetch(made.prefetch)}))

    def basic_cancel(self, consumer_tag: str) -> None:
        self._consumers.discard(consumer_tag)
        for subscription in self._subscriptions.pop(consumer_tag, ()):
            self._cancel(subscription)

    def _cancel(self, subscription: Subscription) -> None:
        subscription.cancelled = True
        self._end_if_done(subscription)

    def _end_if_done(self, subscription: Subscription) -> None:
        if subscription.cancelled and not subscription.unacked:
            self._unsubscribe(subscription)

    def _unsubscribe(self, subscription: Subscription) -> None:
        # Taken out in one step: of two threads that acknowledge the last messages, one ends it.
        if self.connection.subscriptions.pop(subscription.id, None) and self.connection.alive:
            self.connection.wire.send(encode("UNSUBSCRIBE", {"id": subscription.id}))

    def basic_get(self, queue: str, no_ack: bool = False, **_: Any) -> kombu_message.Message | None:
        """One message, or None if none has come in a second."""
        found: list[kombu_message.Message] = []
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
            tag = frame.headers["ack"]
            subscription.unacked.add(tag)
            self._deliveries[tag] = (frame, subscription)
        subscription.callback(message)
        return True

    def _incoming(self, frame: Frame, queue: str) -> kombu_message.Message | None:
        feed = self._routes.feeds.get(queue)
        if ENVELOPE in frame.headers:
            try:
                return from_envelope(self, frame)
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                reason = f"no envelope that kombu makes: {error!r}"
        elif feed is None:
            reason = "it is not of kombu's making, and this queue is no foreign feed"
        else:
            try:
                if feed.wants(feed.document(frame)):
                    return make_message(self, frame, *feed.as_task(frame), routing_key=queue)
                self._answer("ACK", frame)
                return None
            except PoisonError as error:
                if task := feed.as_poison_task(frame, str(error)):
                    return make_message(self, frame, *task, routing_key=queue)
                reason = str(error)
        log.error("a message on %s goes to the dead letters: %s", queue, reason)
        self._answer("NACK", frame)
        return None

    def _answer(self, command: str, frame: Frame) -> None:
        # Not at once: many may be dropped in a row. Delivery ends with a flush.
        if "ack" in frame.headers:
            self.connection.wire.post(encode(command, {"id": frame.headers["ack"]}))

    # Acknowledging, from any thread.

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        self._settle(delivery_tag, lambda frame: encode("ACK", {"id": frame.headers["ack"]}))

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """To the broker's dead letters, or to the end of the queue."""
        if requeue:
            self._settle(delivery_tag, lambda frame: put_back(frame, f"t{self.connection.wire.number()}"))
        else:
            self._settle(delivery_tag, lambda frame: encode("NACK", {"id": frame.headers["ack"]}))

    def _settle(self, delivery_tag: str, frames: Callable[[Frame], bytes]) -> None:
        frame, subscription = self._deliveries.pop(delivery_tag, (None, None))
        if frame is not None and subscription is not None:
            wire = self.connection.wire
            # In an event loop, those of one turn leave together: half the calls of the kernel, on both sides.
            (wire.post if self.connection.in_event_loop else wire.send)(frames(frame))
            subscription.unacked.discard(delivery_tag)
            self._end_if_done(subscription)

    def basic_recover(self, requeue: bool = False) -> None:
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
        self._sends: list[Send] = []

    def publish(self, message: dict[str, Any], exchange: str, routing_key: str, **_: Any) -> None:
        """Add a message, and send all when there are `max_size`."""
        self._sends += self.channel.as_sends(message, exchange, routing_key)
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
        name = f"t{transport.wire.number()}"
        frames = [send.encode(transaction=name) for send in sends]
        begin = encode("BEGIN", {"transaction": name})
        commit = encode("COMMIT", {"transaction": name, "receipt": name})
        transport.wire.confirm(begin + b"".join(frames) + commit, name, transport.routes.receipt_timeout)

    def discard(self) -> None:
        """Forget what was not sent."""
        self._sends.clear()

    def close(self) -> None:
        """Nothing is left to be done."""
