"""What a process had taken off a bus when it was killed comes again, and the bus says so."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from kombu import Connection, Message, Queue

from apps.agents.bus.redelivery import was_delivered
from services.base import REPOSITORY
from swf_site.settings import broker as broker_settings

from .process import wait_until

pytestmark = [
    pytest.mark.services,
    pytest.mark.parametrize("bus_url", ["pgmq", "rabbitmq", "activemq"], indirect=True),
]

TAKE_AND_WAIT = """
import json, sys, time
from apps.agents.bus.stomp import register
register()
from kombu import Connection, Queue
url, name, options = sys.argv[1:]
taken = []
with Connection(url, transport_options=json.loads(options)) as bus:
    with bus.Consumer(Queue(name, durable=True), callbacks=[lambda body, message: taken.append(message)]):
        while not taken:
            bus.drain_events(timeout=60)
        print(taken[0].payload, flush=True)
        time.sleep(600)
"""


def test_what_a_killed_process_had_is_flagged(bus_url: str) -> None:
    options = _options(bus_url)
    name = f"redelivered-{uuid4().hex[:8]}"
    flagged: dict[str, bool] = {}

    def take(message: Message) -> None:
        flagged[message.payload] = was_delivered(message)
        message.ack()

    with Connection(bus_url, transport_options=options) as bus:
        queue = Queue(name, durable=True)(bus.default_channel)
        queue.declare()
        producer = bus.Producer()
        producer.publish("a", routing_key=name, delivery_mode=2)
        with subprocess.Popen(
            [sys.executable, "-c", TAKE_AND_WAIT, bus_url, name, json.dumps(options)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"a\n"
            child.kill()
        with bus.Consumer(queue, on_message=take):
            # Once it is back here, the bus knows of the end of that process, and hands it nothing new.
            wait_until(lambda: _drain(bus) or "a" in flagged, what="what the killed process had")
            producer.publish("b", routing_key=name, delivery_mode=2)
            wait_until(lambda: _drain(bus) or len(flagged) == 2, what="both messages")
        queue.delete()

    assert flagged == {"a": True, "b": False}


def _options(bus_url: str) -> dict[str, Any]:
    """On PostgreSQL, those of the testbed; but a message comes again after 2 s."""
    if not bus_url.startswith("pgmq:"):
        return {}
    return {**broker_settings.transport_options(bus_url, "local"), "visibility_timeout": 2}


def _drain(bus: Connection) -> None:
    with suppress(TimeoutError):
        bus.drain_events(timeout=3)
