"""TLS: the broker's name is verified, by an authority that the client is told of."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from kombu import Connection, Queue

from services.activemq.engine import ActiveMQ

from .client import client
from .conftest import Worker, eventually

pytestmark = [pytest.mark.services, pytest.mark.filterwarnings("ignore")]


def url(engine: ActiveMQ, *, host: str = "127.0.0.1", password: str | None = None) -> str:
    at = engine.environment()
    secret = password or at["ACTIVEMQ_PASSWORD"]
    return f"stomp+ssl://{at['ACTIVEMQ_USER']}:{secret}@{host}:{engine.tls_port}//"


def test_messages_of_any_size_pass(mortal: ActiveMQ, certificates: Path, name: str) -> None:
    with Connection(url(mortal), ssl={"ca_certs": str(certificates / "ca.pem")}) as connection:
        Queue(name, durable=True)(connection.default_channel).declare()
        producer = connection.Producer()
        for size in (1, 16_384, 3_000_000):
            producer.publish("x" * size, routing_key=name)
            message = connection.default_channel.basic_get(name, no_ack=True)
            assert len(message.payload) == size


def test_a_broker_that_nobody_vouches_for_is_refused(mortal: ActiveMQ, certificates: Path) -> None:
    with Connection(url(mortal)) as connection, pytest.raises(ssl.SSLCertVerificationError):
        connection.connect()
    # The certificate is for 127.0.0.1, not for the name.
    options = {"ca_certs": str(certificates / "ca.pem")}
    with Connection(url(mortal, host="localhost"), ssl=options) as connection:
        with pytest.raises(ssl.SSLCertVerificationError, match="localhost"):
            connection.connect()
    with Connection(url(mortal), ssl={"cert_reqs": ssl.CERT_NONE}) as connection:
        connection.connect()


def test_a_wrong_password_is_refused(mortal: ActiveMQ, certificates: Path) -> None:
    options = {"ca_certs": str(certificates / "ca.pem")}
    with Connection(url(mortal, password="wrong"), ssl=options) as connection:
        with pytest.raises(connection.connection_errors, match="invalid"):
            connection.connect()


def test_a_worker_works(mortal: ActiveMQ, certificates: Path, worker: Callable[..., Worker]) -> None:
    options = f'{{"ca_certs": "{certificates / "ca.pem"}"}}'
    running = worker("threads", broker=url(mortal), BROKER_SSL=options)
    with client(running) as module:
        for number in range(50):
            module.note.delay(number)
        eventually(lambda: len(running.seen("note")) == 50, what="the tasks")
