"""AMQP's methods on a real broker."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import pytest
from kombu import Connection, Consumer, Exchange, Queue
from kombu.asynchronous import Hub
from kombu.message import Message

from apps.agents.bus.stomp.messages import Send

from .conftest import eventually, taken

pytestmark = [pytest.mark.services, pytest.mark.filterwarnings("ignore")]
Connect = Callable[..., Connection]


def drain(connection: Connection, seconds: float = 0.5, until: Callable[[], bool] = lambda: True) -> None:
    """Deliver all that comes until this is so, and nothing more has come for some time."""
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline, "what was to come did not"
        with suppress(TimeoutError):
            connection.drain_events(timeout=seconds)
    with pytest.raises(TimeoutError):
        while True:
            connection.drain_events(timeout=seconds)


def consume(connection: Connection, queue: Queue, prefetch: int = 0) -> tuple[Consumer, list[Message]]:
    got: list[Message] = []
    channel = connection.channel()
    channel.basic_qos(0, prefetch, False)
    consumer = Consumer(channel, [queue], on_message=got.append, accept=["json", "pickle"])
    consumer.consume()
    return consumer, got


@pytest.mark.parametrize(
    "body", ["text", {"a": [1, None]}, "x" * 3_000_000, "nul \0 colon : ü \n \\"], ids=repr
)
def test_bodies_arrive_as_they_were(connect: Connect, name: str, body: object) -> None:
    connection = connect()
    headers = {"when": "2026:01", "odd\nname": "a\\b:c", "long": "y" * 20_000}
    connection.Producer().publish(body, routing_key=name, headers=headers, correlation_id="c:1", priority=3)
    message = taken(connection, name, no_ack=True)
    assert message.payload == body
    assert message.headers == headers
    assert message.properties["correlation_id"] == "c:1"
    assert message.properties["priority"] == 3


def test_binary_bodies(connect: Connect, name: str) -> None:
    connection = connect()
    raw = bytes(range(256))
    connection.Producer().publish(
        raw, routing_key=name, content_type="application/data", content_encoding="binary"
    )
    assert taken(connection, name, no_ack=True).body == raw


def test_prefetch_grows_and_shrinks(connect: Connect, name: str) -> None:
    connection = connect()
    queue = Queue(name, durable=True)
    producer = connection.Producer()
    with producer.batch(100):
        for number in range(40):
            producer.publish(number, routing_key=name)
    consumer, got = consume(connection, queue, prefetch=4)
    drain(connection, until=lambda: len(got) >= 4)
    assert len(got) == 4
    for size in range(5, 12):
        consumer.qos(prefetch_count=size)
    drain(connection, until=lambda: len(got) >= 11)
    assert 11 <= len(got) <= 16, "at least what was asked for, growing in doubling steps"
    in_steps = len(connection.transport.subscriptions)
    assert in_steps <= 5
    consumer.qos(prefetch_count=4)
    while len(got) < 40 or any(not message.acknowledged for message in got):
        for message in got:
            if not message.acknowledged:
                message.ack()
        drain(connection, 0.1)
    assert len(connection.transport.subscriptions) == 1
    assert sorted(message.payload for message in got) == list(range(40))


def test_a_cancelled_consumer_may_still_acknowledge(connect: Connect, name: str) -> None:
    connection, queue = connect(), Queue(name, durable=True)
    for number in range(3):
        connection.Producer().publish(number, routing_key=name)
    consumer, got = consume(connection, queue, prefetch=2)
    drain(connection, until=lambda: len(got) >= 2)
    consumer.cancel()
    for message in got:
        message.ack()
    eventually(
        lambda: connection.transport.queue_statistics(name).consumers == 0, what="the end of the subscription"
    )
    assert connection.transport.queue_statistics(name).length == 1
    assert taken(connection, name, no_ack=True).payload == 2


def test_threads_acknowledge_while_the_loop_reads(connect: Connect, name: str) -> None:
    connection, queue = connect(), Queue(name, durable=True)
    producer = connection.Producer()
    with producer.batch(500):
        for number in range(500):
            producer.publish(number, routing_key=name)
    done: list[int] = []

    def settle(message: Message) -> None:
        # One in ten is put back, once, in a transaction.
        if message.payload % 10 == 0 and not message.delivery_info["redelivered"]:
            message.requeue()
        else:
            message.ack()
            done.append(message.payload)

    channel = connection.channel()
    channel.basic_qos(0, 50, False)
    with ThreadPoolExecutor(4) as pool:
        settled: list[Future[None]] = []
        Consumer(
            channel, [queue], on_message=lambda message: settled.append(pool.submit(settle, message))
        ).consume()
        deadline = time.monotonic() + 60
        while len(done) < 500 and time.monotonic() < deadline:
            with suppress(TimeoutError):
                connection.drain_events(timeout=0.1)
    assert [one.exception() for one in settled if one.exception()] == []
    assert sorted(done) == list(range(500))
    eventually(lambda: connection.transport.queue_statistics(name).length == 0, what="an empty queue")


def test_numbers_are_true(connect: Connect, name: str) -> None:
    connection = connect()
    channel = connection.default_channel
    queue = Queue(name, durable=True)(channel)
    assert queue.declare() == name
    assert channel.queue_declare(name, passive=True).message_count == 0
    assert connection.transport.queue_statistics(name).oldest_age_seconds is None
    producer = connection.Producer()
    with producer.batch(1000):
        for number in range(2500):
            producer.publish(number, routing_key=name)
    assert channel.queue_declare(name, passive=True).message_count == 2500
    other = connect()
    _, got = consume(other, queue, prefetch=7)
    eventually(lambda: connection.transport.queue_statistics(name).in_flight == 7, what="messages in flight")
    numbers = connection.transport.queue_statistics(name)
    assert numbers.consumers == 1
    assert numbers.oldest_age_seconds is not None
    assert 0 < numbers.oldest_age_seconds < 60
    assert queue.purge() == 2493, "all but those in flight"
    other.release()
    eventually(lambda: connection.transport.queue_statistics(name).in_flight == 0, what="their return")
    assert queue.purge() == 7
    assert not got


def test_a_durable_queue_keeps_what_comes_before_anybody_reads_it(connect: Connect, name: str) -> None:
    exchange = Exchange(f"news.{name}", type="topic")
    connection = connect()
    queue = Queue(f"reader.{name}", exchange, routing_key="stf.*", durable=True)(connection.default_channel)
    queue.declare()
    other = connect(exchanges={exchange.name: "topic"})
    for key in ("stf.ready", "stf.ready.late", "run.start", "stf.gone"):
        other.default_channel.basic_publish(
            other.default_channel.prepare_message(key, content_type="text/plain", content_encoding="utf-8"),
            exchange=exchange.name,
            routing_key=key,
        )
    assert connection.transport.queue_statistics(queue.name).length == 2
    got = [taken(connection, queue.name, no_ack=True) for _ in range(2)]
    assert [message.body for message in got] == [b"stf.ready", b"stf.gone"]


def test_a_batch_arrives_as_a_whole_or_not_at_all(connect: Connect, name: str) -> None:
    connection = connect()
    producer = connection.Producer(serializer="json")
    assert producer.supports_batch_publish
    with pytest.raises(ZeroDivisionError), producer.batch(200):
        producer.publish(1, routing_key=name)
        raise ZeroDivisionError
    with producer.batch(200):
        for number in range(150):
            producer.publish(number, routing_key=name)
        assert connection.transport.queue_statistics(name).length == 0
    assert connection.transport.queue_statistics(name).length == 150
    with pytest.raises(connection.connection_errors), producer.batch(200):
        producer.publish(1, routing_key=name)
        connection.default_channel.as_sends = lambda *_: [Send({"destination": ""}, b"")]
        producer.publish(2, routing_key=name)
    assert connect().transport.queue_statistics(name).length == 150


def test_an_expired_message_is_not_delivered(connect: Connect, name: str) -> None:
    connection = connect()
    connection.Producer().publish("late", routing_key=name, expiration=0.1)
    time.sleep(0.15)
    assert connection.default_channel.basic_get(name) is None


def test_an_error_of_the_broker_ends_the_connection_and_a_new_one_works(connect: Connect, name: str) -> None:
    connection = connect()
    producer = connection.Producer()
    connection.transport.wire.send(b"NONSENSE\n\n\0")
    with pytest.raises(connection.connection_errors):
        while True:
            producer.publish("x", routing_key=name)
    producer.publish("y", routing_key=name, retry=True, retry_policy={"max_retries": 3})


def test_what_a_timer_has_read_is_delivered_before_the_loop_sleeps(
    connect: Connect, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, other, hub = connect(), connect(), Hub()
    queue = Queue(name)
    said: list[str] = []
    poll = hub.poller.poll
    monkeypatch.setattr(hub.poller, "poll", lambda timeout: (said.append("sleeps"), poll(timeout))[1])

    def got(message: Message) -> None:
        message.ack()
        said.append("asks")
        hub.call_soon(lambda: said.append("is called"))

    def read_a_message() -> None:
        """As the timer of heart-beats does."""
        other.Producer().publish("news", routing_key=name)
        wire = connection.transport.wire
        wire.wait(lambda: wire.frames, 60, "a message")

    with Consumer(connection, [queue], on_message=got):
        connection.register_with_event_loop(hub)
        loop = hub.create_loop()
        hub.timer.call_after(0.5, read_a_message)
        hub.timer.call_after(60, lambda: None)
        while "is called" not in said:
            next(loop)
        connection.transport.unregister_from_event_loop(connection, hub)
    asked = said.index("asks")
    assert said[asked : asked + 2] == ["asks", "is called"]


def test_acknowledgements_of_a_turn_leave_together_before_the_loop_sleeps(
    connect: Connect, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, other, hub = connect(), connect(), Hub()
    for number in range(20):
        other.Producer().publish(number, routing_key=name)
    got: list[Message] = []
    sent: list[int] = []
    wire = connection.transport.wire
    hand_over = wire._send_some
    monkeypatch.setattr(
        wire, "_send_some", lambda: (sent.append(len(wire._out)) if wire._out else None, hand_over())[1]
    )

    def acknowledge_all() -> None:
        for message in got:
            message.ack()
        assert sent == []

    with Consumer(connection, [Queue(name)], on_message=got.append):
        connection.register_with_event_loop(hub)
        loop = hub.create_loop()
        hub.timer.call_after(60, lambda: None)
        while len(got) < 20:
            next(loop)
        sent.clear()
        hub.call_soon(acknowledge_all)
        while not sent:
            next(loop)
        assert len(sent) == 1
        eventually(lambda: other.transport.queue_statistics(name).length == 0)
        connection.transport.unregister_from_event_loop(connection, hub)
