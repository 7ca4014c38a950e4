"""TLS: the broker's name is verified, by an authority that the client is told of."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kombu import Connection, Queue

from services.activemq.engine import ActiveMQ
from services.base import Engine

from .client import client
from .conftest import Worker, eventually

pytestmark = [pytest.mark.services, pytest.mark.filterwarnings("ignore")]
PASSWORD = "changeit"


def openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority's `ca.pem`, and a broker's `broker.p12` for the loopback address."""
    directory = tmp_path_factory.mktemp("tls")
    new = ("req", "-newkey", "rsa:2048", "-nodes", "-subj")
    openssl(directory, *new, "/CN=Test authority", "-x509", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(directory, *new, "/CN=broker", "-keyout", "broker.key", "-out", "broker.csr")
    (directory / "san").write_text("subjectAltName=IP:127.0.0.1")
    openssl(
        directory,
        *("x509", "-req", "-in", "broker.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
        *("-extfile", "san", "-out", "broker.pem"),
    )
    openssl(
        directory,
        *("pkcs12", "-export", "-in", "broker.pem", "-inkey", "broker.key", "-out", "broker.p12"),
        *("-passout", f"pass:{PASSWORD}"),
    )
    return directory


@pytest.fixture(scope="module")
def secured(
    activemq: Engine, certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ActiveMQ]:
    """A broker with that certificate."""
    engine = ActiveMQ(tmp_path_factory.mktemp("mq"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACTIVEMQ_KEYSTORE", str(certificates / "broker.p12"))
        patch.setenv("ACTIVEMQ_KEYSTORE_PASSWORD", PASSWORD)
        engine.start()
    yield engine
    engine.stop()


def url(engine: ActiveMQ, *, host: str = "127.0.0.1", password: str | None = None) -> str:
    at = engine.environment()
    secret = password or at["ACTIVEMQ_PASSWORD"]
    return f"stomp+ssl://{at['ACTIVEMQ_USER']}:{secret}@{host}:{engine.tls_port}//"


def test_messages_of_any_size_pass(secured: ActiveMQ, certificates: Path, name: str) -> None:
    with Connection(url(secured), ssl={"ca_certs": str(certificates / "ca.pem")}) as connection:
        Queue(name, durable=True)(connection.default_channel).declare()
        producer = connection.Producer()
        for size in (1, 16_384, 3_000_000):
            producer.publish("x" * size, routing_key=name)
            message = connection.default_channel.basic_get(name, no_ack=True)
            assert len(message.payload) == size


def test_a_broker_that_nobody_vouches_for_is_refused(secured: ActiveMQ, certificates: Path) -> None:
    with Connection(url(secured)) as connection, pytest.raises(ssl.SSLCertVerificationError):
        connection.connect()
    # The certificate is for 127.0.0.1, not for the name.
    options = {"ca_certs": str(certificates / "ca.pem")}
    with Connection(url(secured, host="localhost"), ssl=options) as connection:
        with pytest.raises(ssl.SSLCertVerificationError, match="localhost"):
            connection.connect()
    with Connection(url(secured), ssl={"cert_reqs": ssl.CERT_NONE}) as connection:
        connection.connect()


def test_a_wrong_password_is_refused(secured: ActiveMQ, certificates: Path) -> None:
    options = {"ca_certs": str(certificates / "ca.pem")}
    with Connection(url(secured, password="wrong"), ssl=options) as connection:
        with pytest.raises(connection.connection_errors, match="invalid"):
            connection.connect()


def test_a_worker_works(secured: ActiveMQ, certificates: Path, worker: Callable[..., Worker]) -> None:
    options = f'{{"ca_certs": "{certificates / "ca.pem"}"}}'
    running = worker("threads", broker=url(secured), BROKER_SSL=options)
    with client(running) as module:
        for number in range(50):
            module.note.delay(number)
        eventually(lambda: len(running.seen("note")) == 50, what="the tasks")
