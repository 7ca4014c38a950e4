"""What happens to messages when somebody dies or freezes. The broker of these tests is their own."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from kombu import Connection, Queue

from services.activemq.engine import ActiveMQ

from .client import client
from .conftest import Worker, eventually, taken, url_of

pytestmark = [pytest.mark.services, pytest.mark.filterwarnings("ignore")]


def kill(engine: ActiveMQ) -> None:
    assert engine.pid is not None
    os.killpg(engine.pid, signal.SIGKILL)
    engine.stop()


def test_a_killed_worker_loses_nothing(worker: Callable[..., Worker]) -> None:
    running = worker("prefork")
    with client(running) as module:
        for number in range(30):
            module.note.delay(number, 0.05)
        eventually(lambda: len(running.seen("note")) >= 5)
        running.kill()
        running.start()
        eventually(lambda: {value for (value,) in running.seen("note")} == set(range(30)), what="all tasks")
    counts = Counter(value for (value,) in running.seen("note"))
    assert sum(counts.values()) - 30 <= 8, "no more are done twice than were in flight"


def test_a_killed_broker_loses_nothing_and_is_found_again(
    mortal: ActiveMQ, worker: Callable[..., Worker]
) -> None:
    running = worker("prefork", broker=url_of(mortal))
    with client(running) as module:
        for number in range(30):
            module.note.delay(number, 0.05)
        module.note.apply_async(["eta"], countdown=6)
        began = time.time()
        eventually(lambda: len(running.seen("note")) >= 5)
        kill(mortal)
        mortal.start()
        for number in range(30, 40):
            module.note.delay(number)
        eventually(
            lambda: {value for (value,) in running.seen("note")} >= set(range(40)),
            seconds=120,
            what="all tasks",
        )
        eventually(lambda: ["eta"] in running.seen("note"), what="the task with an ETA")
        assert running.times("note")[-1] - began >= 5.9
        assert running.process.poll() is None, "the worker is the one from before"


def test_a_frozen_broker_is_noticed_and_its_return(mortal: ActiveMQ, worker: Callable[..., Worker]) -> None:
    running = worker("threads", broker=url_of(mortal), HEARTBEAT="1")
    assert mortal.pid is not None
    before = len(running.log.read_text())
    os.killpg(mortal.pid, signal.SIGSTOP)
    try:
        eventually(
            lambda: "onnection to broker lost" in running.log.read_text()[before:], what="the worker's notice"
        )
    finally:
        os.killpg(mortal.pid, signal.SIGCONT)
    with client(running) as module:
        module.note.delay("thawed")
        eventually(lambda: ["thawed"] in running.seen("note"), what="the task after the thaw")


def test_a_frozen_broker_is_noticed_while_a_receipt_is_waited_for(mortal: ActiveMQ, name: str) -> None:
    with Connection(url_of(mortal), transport_options={"heartbeat": 2}) as connection:
        Queue(name, durable=True)(connection.default_channel).declare()
        producer = connection.Producer()
        producer.publish("one", routing_key=name)
        assert mortal.pid is not None
        os.killpg(mortal.pid, signal.SIGSTOP)
        try:
            # And not by the receipt's own, much longer time.
            with pytest.raises(connection.connection_errors, match="heart-beat"):
                producer.publish("two", routing_key=name)
        finally:
            os.killpg(mortal.pid, signal.SIGCONT)


def test_the_next_broker_of_the_url_is_taken(mortal: ActiveMQ, broker: str, name: str) -> None:
    # Time enough: to be slow is no reason to go on to the next.
    with Connection(f"{url_of(mortal)};{broker}", connect_timeout=60) as connection:
        queue = Queue(name, durable=True)
        producer = connection.Producer()
        producer.publish("to the first", routing_key=name, declare=[queue])
        kill(mortal)
        try:
            producer.publish("to the second", routing_key=name, declare=[queue], retry=True)
            message = taken(connection, name)
            assert message.payload == "to the second"
            message.ack()
        finally:
            mortal.start()


def test_a_child_leaves_the_connection_of_its_parent_alone(
    connect: Callable[..., Connection], name: str
) -> None:
    connection = connect()
    Queue(name, durable=True)(connection.default_channel).declare()
    producer = connection.Producer()
    producer.publish("before", routing_key=name)
    child = os.fork()
    if not child:
        code = 1
        try:
            producer.publish("from the child", routing_key=name)
        except connection.connection_errors:
            connection.release()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    producer.publish("after", routing_key=name)
    assert [taken(connection, name, no_ack=True).payload for _ in range(2)] == ["before", "after"]
    assert connection.default_channel.basic_get(name) is None


def test_a_warm_shutdown_delivers_nothing_twice(worker: Callable[..., Worker], tmp_path: Path) -> None:
    first = worker("prefork")
    with client(first) as module:
        for number in range(12):
            module.note.delay(number, 0.3)
        eventually(lambda: len(first.seen("note")) >= 2)
        second = worker("prefork", QUEUE=first.environment["QUEUE"])
        first.stop()
        eventually(lambda: len({value for (value,) in second.seen("note")}) == 12, what="all tasks")
    assert len(second.seen("note")) == 12
