"""RabbitMQ: who is let in, what it keeps, and that nothing of it stays behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import amqp
import pytest
from kombu import Connection

from services.base import Engine
from services.ports import LOOPBACK, is_free, port
from services.rabbitmq.engine import AMQP, EPMD, RabbitMQ
from tests.services.catalogue import poll

pytestmark = pytest.mark.services


@pytest.fixture
def own(rabbitmq: Engine, tmp_path: Path) -> Iterator[RabbitMQ]:
    """A second RabbitMQ, not started, for tests that must not disturb the others."""
    port(tmp_path, AMQP)
    broker = RabbitMQ(tmp_path)
    yield broker
    broker.stop()


def test_it_is_entered_with_the_generated_password_only(rabbitmq: Engine) -> None:
    assert isinstance(rabbitmq, RabbitMQ)
    assert rabbitmq.ready() is None
    for user, secret in (("guest", "guest"), ("admin", "wrong")):
        with pytest.raises(amqp.AccessRefused):
            amqp.Connection(host=f"{LOOPBACK}:{rabbitmq.port}", userid=user, password=secret).connect()


def test_a_confirmed_message_survives_sigkill_and_nothing_else_does(own: RabbitMQ) -> None:
    own.start()
    with Connection(own.environment()["BROKER_URL"], transport_options={"confirm_publish": True}) as client:
        client.SimpleQueue("kept").put({"precious": True})
    assert own.pid
    os.kill(own.pid, signal.SIGKILL)
    own.stop()
    # Erlang's name server ends with it: its port would be taken.
    poll(lambda: is_free(port(own.home, EPMD)))
    assert own.ready() is not None
    own.start()
    with Connection(own.environment()["BROKER_URL"]) as client:
        message = client.SimpleQueue("kept").get(timeout=60)
        assert message.payload == {"precious": True}
        message.ack()
    own.stop()
    poll(lambda: is_free(port(own.home, EPMD)))
