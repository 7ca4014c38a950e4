"""Plain JSON of other STOMP clients, in and out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from queue import Queue as LocalQueue
from typing import Any

import pytest
import stomp
from kombu import Connection, Queue

from services.base import Engine

from .client import client
from .conftest import Worker, eventually, taken

pytestmark = [pytest.mark.services, pytest.mark.filterwarnings("ignore")]


class Inbox(stomp.ConnectionListener):
    """What a client of stomp.py receives."""

    def __init__(self) -> None:
        self.frames: LocalQueue[Any] = LocalQueue()
        self.receipts: LocalQueue[Any] = LocalQueue()

    def on_receipt(self, frame: Any) -> None:
        self.receipts.put(frame)

    def on_message(self, frame: Any) -> None:
        self.frames.put(frame)


@pytest.fixture
def stranger(activemq: Engine) -> Iterator[tuple[stomp.Connection12, Inbox]]:
    """A client that knows nothing of Celery."""
    at = activemq.environment()
    connection = stomp.Connection12(
        [(at["ACTIVEMQ_HOST"], int(at["ACTIVEMQ_STOMP_PORT"]))], auto_content_length=False
    )
    inbox = Inbox()
    connection.set_listener("", inbox)
    connection.connect(at["ACTIVEMQ_USER"], at["ACTIVEMQ_PASSWORD"], wait=True)
    yield connection, inbox
    connection.disconnect()


def send(stranger: stomp.Connection12, body: str, **headers: str) -> None:
    stranger.send("/topic/epictopic", body, headers={"persistent": "true", **headers})


def test_a_plain_document_is_a_task(
    worker: Callable[..., Worker], stranger: tuple[stomp.Connection12, Inbox]
) -> None:
    running = worker("prefork")
    document = {"msg_type": "stf_gen", "text": 'quotes " and \\ and ü and \u2028', "list": [1, None, 2.5]}
    send(stranger[0], json.dumps({"msg_type": "not for this agent"}))
    send(stranger[0], json.dumps(document))
    send(stranger[0], "this is {no JSON: ü")
    eventually(lambda: running.seen("document") and running.seen("poison"), what="the tasks")
    ((body, _task_id),) = running.seen("document")
    assert body == document
    ((text, reason),) = running.seen("poison")
    assert text == "this is {no JSON: ü"
    assert "no JSON" in reason
    with client(running) as module:
        eventually(lambda: left(module) == 0, what="all acknowledged, those that are not wanted as well")


def left(module: Any) -> int:
    with module.app.connection_for_read() as connection:
        connection.connect()
        return int(connection.transport.destination_statistics(module.FEED).length)


def test_a_document_of_a_killed_worker_comes_again_under_the_same_id(
    connect: Callable[..., Connection],
) -> None:
    connection = connect(foreign={"f": {"task": "t", "destination": "/queue/Agent.redelivery.epictopic"}})
    publisher = connect(foreign_exchanges={"e": {"destination": "/topic/epictopic"}})
    Queue("f", durable=True)(connection.default_channel).declare()
    publisher.Producer().publish([[{"n": 1}], {}, {}], exchange="e", serializer="json")
    first = taken(connection, "f")
    connection.default_channel.close()
    channel = connection.channel()
    second = eventually(lambda: channel.basic_get("f"), what="its return")
    assert second.delivery_info["redelivered"]
    second.requeue()
    third = eventually(lambda: channel.basic_get("f"), what="its return")
    assert third.delivery_info["redelivered"]
    assert first.headers["id"] == second.headers["id"] == third.headers["id"]
    assert third.payload == [[{"n": 1}], {}, {}]
    third.ack()


def test_a_task_goes_out_as_a_plain_document(
    connect: Callable[..., Connection], stranger: tuple[stomp.Connection12, Inbox]
) -> None:
    outside, inbox = stranger
    outside.subscribe(
        "/topic/epictopic",
        id="1",
        headers={"selector": "msg_type = 'stf_ready' AND run_id = '7'", "receipt": "subscribed"},
    )
    inbox.receipts.get(timeout=60)  # a topic keeps nothing for whoever comes later
    outlet = {"destination": "/topic/epictopic", "headers": ["msg_type", "namespace", "run_id"]}
    producer = connect(foreign_exchanges={"epictopic": outlet}).Producer(serializer="json")
    document = {"msg_type": "stf_ready", "run_id": "7", "namespace": None, "note": "a:b\\c\nü"}
    for run_id in ("8", "7"):
        producer.publish([[document | {"run_id": run_id}], {}, {}], exchange="epictopic")
    with producer.batch(200):
        producer.publish([[document | {"run_id": "7", "last": True}], {}, {}], exchange="epictopic")
    frames = [inbox.frames.get(timeout=60) for _ in range(2)]
    assert json.loads(frames[0].body) == document
    assert json.loads(frames[1].body)["last"] is True
    assert frames[0].headers["msg_type"] == "stf_ready"
    assert frames[0].headers["persistent"] == "true"
    assert frames[0].headers["content-type"] == "application/json"
    assert "namespace" not in frames[0].headers
    assert "content-length" not in frames[0].headers, "a text message for JMS"


def test_a_task_published_to_the_plain_exchange_reaches_workers(worker: Callable[..., Worker]) -> None:
    running = worker("solo")
    with client(running) as module:
        sent = {"msg_type": "stf_ready", "n": 5}
        module.app.send_task("ignored", [sent], exchange="epictopic", routing_key="stf_ready")
        eventually(lambda: sent in [body for body, _ in running.seen("document")], what="the task")


@pytest.mark.parametrize("body", [b"\xff\xfe", b"", b"[" * 100_000, b"nul \0 inside"], ids=str)
def test_without_a_task_for_it_poison_goes_to_the_dead_letters(
    connect: Callable[..., Connection], name: str, body: bytes
) -> None:
    connection = connect(foreign={name: {"task": "t"}})
    wire, dialect = connection.transport.wire, connection.transport.routes.dialect
    from apps.agents.bus.stomp.frames import encode

    wire.send(encode("SEND", {"destination": f"/queue/{name}", "persistent": "true"}, body))
    dead = dialect.dead_letters(f"/queue/{name}")

    def is_dead() -> bool:
        assert connection.default_channel.basic_get(name) is None
        return bool(connection.transport.destination_statistics(dead).length == 1)

    eventually(is_dead, what="the dead letter")
    assert connection.transport.queue_statistics(name).length == 0


def test_a_selector_lets_retries_through(connect: Callable[..., Connection], name: str) -> None:
    connection = connect(foreign={name: {"task": "t", "selector": "msg_type = 'a'"}})
    from apps.agents.bus.stomp.frames import encode

    channel = connection.default_channel
    for msg_type in ("b", "a"):
        headers = {"destination": f"/queue/{name}", "msg_type": msg_type}
        connection.transport.wire.send(encode("SEND", headers, b'"%b"' % msg_type.encode()))
    connection.Producer(serializer="json").publish("retry", routing_key=name)
    got = [taken(connection, name, no_ack=True).payload for _ in range(2)]
    assert [["a"], {}, {}] in got
    assert "retry" in got
    assert channel.basic_get(name) is None
