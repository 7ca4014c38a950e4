"""TLS: the broker's name is verified, by an authority that the client is told of; and so is a client, where it is asked."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Queue

from services.activemq.engine import ActiveMQ

from .client import client
from .conftest import Worker, eventually, taken

pytestmark = [pytest.mark.services, pytest.mark.filterwarnings("ignore")]


def url(engine: ActiveMQ, *, host: str = "127.0.0.1", password: str | None = None) -> str:
    at = engine.environment()
    secret = password or at["ACTIVEMQ_PASSWORD"]
    return f"stomp+ssl://{at['ACTIVEMQ_USER']}:{secret}@{host}:{engine.tls_port}//"


def connected(address: str, **options: Any) -> Connection:
    """A connection with time for the handshake, which is the first that this broker makes."""
    return Connection(address, connect_timeout=60, **options)


def test_messages_of_any_size_pass(mortal: ActiveMQ, certificates: Path, name: str) -> None:
    with connected(url(mortal), ssl={"ca_certs": str(certificates / "ca.pem")}) as connection:
        Queue(name, durable=True)(connection.default_channel).declare()
        producer = connection.Producer()
        for size in (1, 16_384, 3_000_000):
            producer.publish("x" * size, routing_key=name)
            message = taken(connection, name, no_ack=True)
            assert len(message.payload) == size


def test_a_broker_that_nobody_vouches_for_is_refused(mortal: ActiveMQ, certificates: Path) -> None:
    with connected(url(mortal)) as connection, pytest.raises(ssl.SSLCertVerificationError):
        connection.connect()
    # The certificate is for 127.0.0.1, not for the name.
    options = {"ca_certs": str(certificates / "ca.pem")}
    with connected(url(mortal, host="localhost"), ssl=options) as connection:
        with pytest.raises(ssl.SSLCertVerificationError, match="localhost"):
            connection.connect()
    with connected(url(mortal), ssl={"cert_reqs": ssl.CERT_NONE}) as connection:
        connection.connect()


def test_a_wrong_password_is_refused(mortal: ActiveMQ, certificates: Path) -> None:
    options = {"ca_certs": str(certificates / "ca.pem")}
    with connected(url(mortal, password="wrong"), ssl=options) as connection:
        with pytest.raises(connection.connection_errors, match="invalid"):
            connection.connect()


def test_a_worker_works(mortal: ActiveMQ, certificates: Path, worker: Callable[..., Worker]) -> None:
    options = f'{{"ca_certs": "{certificates / "ca.pem"}"}}'
    running = worker("threads", broker=url(mortal), BROKER_SSL=options)
    with client(running) as module:
        for number in range(50):
            module.note.delay(number)
        eventually(lambda: len(running.seen("note")) == 50, what="the tasks")


class Door(socketserver.ThreadingTCPServer):
    """TLS in front of a broker; it lets in who shows a certificate that the authority has signed."""

    daemon_threads = True

    def __init__(self, directory: Path, broker: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Passage)
        self.broker = broker
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(directory / "ca.pem"))
        self.context.verify_mode = ssl.CERT_REQUIRED
        # After it, a client takes itself for let in before the server has looked at its certificate.
        self.context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.context.load_cert_chain(directory / "broker.pem", directory / "broker.key")

    def handle_error(self, request: object, client_address: object) -> None:
        """Who is not let in is told so; the tests need no more."""


class _Passage(socketserver.BaseRequestHandler):
    server: Door

    def handle(self) -> None:
        with (
            self.server.context.wrap_socket(self.request, server_side=True) as client,
            socket.create_connection(self.server.broker) as broker,
        ):
            back = threading.Thread(target=_pass_on, args=(broker, client), daemon=True)
            back.start()
            _pass_on(client, broker)
            broker.shutdown(socket.SHUT_RDWR)
            back.join()


def _pass_on(come_in: socket.socket, go_out: socket.socket) -> None:
    with suppress(OSError):
        while part := come_in.recv(65_536):
            go_out.sendall(part)


@pytest.fixture
def door(activemq: ActiveMQ, certificates: Path) -> Iterator[str]:
    """The URL of the broker behind such a door."""
    at = activemq.environment()
    with Door(certificates, (at["ACTIVEMQ_HOST"], int(at["ACTIVEMQ_STOMP_PORT"]))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"stomp+ssl://{at['ACTIVEMQ_USER']}:{at['ACTIVEMQ_PASSWORD']}@127.0.0.1:{server.server_address[1]}//"
        server.shutdown()


def test_a_client_shows_its_certificate(door: str, certificates: Path, name: str) -> None:
    shown = {"certfile": str(certificates / "client.pem"), "keyfile": str(certificates / "client.key")}
    with connected(door, ssl={"ca_certs": str(certificates / "ca.pem"), **shown}) as connection:
        Queue(name, durable=True)(connection.default_channel).declare()
        connection.Producer().publish("let in", routing_key=name)
        message = taken(connection, name, no_ack=True)
    assert message.payload == "let in"


def test_who_shows_none_where_it_is_asked_for_is_told(door: str, certificates: Path) -> None:
    with connected(door, ssl={"ca_certs": str(certificates / "ca.pem")}) as connection:
        with pytest.raises(connection.connection_errors, match="handshake failure"):
            connection.connect()
