"""ActiveMQ: who is let in, what it keeps, and what reaches an agent that was away."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.activemq.configuration import USER
from services.activemq.engine import ActiveMQ
from services.activemq.stomp import Frame, StompError, StompSession
from services.base import Engine, EngineError
from services.ports import LOOPBACK, is_free, port
from services.remembered import password
from tests.services.catalogue import poll

pytestmark = pytest.mark.services


@pytest.fixture
def own(activemq: Engine, tmp_path: Path) -> Iterator[ActiveMQ]:
    """A second ActiveMQ, not started, for tests that must not disturb the others."""
    for name in ("activemq", "activemq-stomp", "activemq-stomp-tls"):
        port(tmp_path, name)
    broker = ActiveMQ(tmp_path)
    yield broker
    broker.stop()


def session(broker: Engine, number: int | None = None) -> StompSession:
    """A logged-in connection, by default to the port for all protocols."""
    assert isinstance(broker, ActiveMQ)
    return StompSession(
        (LOOPBACK, number or broker.port), user=USER, password=password(broker.home, "activemq"), timeout=60
    )


def send(broker: Engine, destination: str, body: bytes = b"{}", **headers: str) -> None:
    """Send one persistent message, confirmed."""
    with session(broker) as producer:
        producer.request("SEND", {"destination": destination, "persistent": "true", **headers}, body)


def subscribe(consumer: StompSession, destination: str, **headers: str) -> None:
    """Subscribe, confirmed; each message is to be acknowledged by itself."""
    consumer.request(
        "SUBSCRIBE", {"id": "0", "destination": destination, "ack": "client-individual", **headers}
    )


def take(broker: Engine, queue: str, answer: str = "ACK") -> Frame:
    """The next message of a queue, answered, confirmed."""
    with session(broker) as consumer:
        subscribe(consumer, f"/queue/{queue}")
        message = consumer.expect("MESSAGE")
        consumer.request(answer, {"id": message.headers["ack"]})
        return message


def name() -> str:
    """A name that no other test uses."""
    return f"test-{uuid.uuid4().hex[:8]}"


def test_both_ports_speak_stomp_to_who_knows_the_password(activemq: Engine) -> None:
    assert isinstance(activemq, ActiveMQ)
    assert activemq.ready() is None
    for number in (activemq.port, activemq.stomp_port):
        with session(activemq, number) as client:
            assert client.connected.headers["server"].startswith("ActiveMQ/")
        for user, secret in ((USER, "wrong"), ("", "")):
            # It may hang up before its word is through.
            with pytest.raises(StompError, match=r"password is invalid|the connection was closed"):
                StompSession((LOOPBACK, number), user=user, password=secret)


def test_it_listens_on_the_loopback_interface_only(activemq: Engine) -> None:
    assert isinstance(activemq, ActiveMQ)
    rows = [
        line.split() for path in ("tcp", "tcp6") for line in Path("/proc/net", path).read_text().splitlines()
    ]
    listening = [row[1] for row in rows if row[3] == "0A"]
    for number in (activemq.port, activemq.stomp_port):
        addresses = [address for address in listening if address.endswith(f":{number:04X}")]
        # 127.0.0.1, as it is or within IPv6; in network order read as little-endian words.
        assert addresses
        assert all(address.partition(":")[0].endswith("0100007F") for address in addresses)


def test_a_confirmed_message_survives_sigkill(own: ActiveMQ) -> None:
    own.start()
    send(own, "/queue/kept", b"precious")
    send(own, "/queue/later", b"scheduled", AMQ_SCHEDULED_DELAY="3000")
    assert own.pid
    os.kill(own.pid, signal.SIGKILL)
    own.stop()
    assert own.ready() is not None
    own.start()
    assert take(own, "kept").body == b"precious"
    assert take(own, "later").body == b"scheduled"


def test_it_stops_at_once_when_asked(own: ActiveMQ) -> None:
    own.start()
    began = time.monotonic()
    own.stop()
    assert time.monotonic() - began < 10
    assert "is shutdown" in own.log.read_text()


def test_an_agent_gets_what_was_published_while_it_was_away(activemq: Engine) -> None:
    agent = name()
    with session(activemq) as consumer:
        subscribe(consumer, f"/queue/Agent.{agent}.epictopic")
    with session(activemq) as plain:
        subscribe(plain, "/topic/epictopic")
        send(activemq, "/topic/epictopic", b'{"n":1}')
        assert plain.expect("MESSAGE").body == b'{"n":1}'
    assert take(activemq, f"Agent.{agent}.epictopic").body == b'{"n":1}'


def test_a_refused_message_lies_in_the_queues_own_dead_letter_queue(activemq: Engine) -> None:
    queue = name()
    send(activemq, f"/queue/{queue}", b"bad")
    take(activemq, queue, "NACK")
    assert take(activemq, f"DLQ.{queue}").body == b"bad"


def test_an_expired_message_is_kept_too(activemq: Engine) -> None:
    queue = name()
    expires = time.time() + 0.2
    send(activemq, f"/queue/{queue}", b"late", expires=str(int(expires * 1000)))
    poll(lambda: time.time() > expires)
    with session(activemq) as consumer:
        subscribe(consumer, f"/queue/{queue}")  # the broker looks at the date when it delivers
        assert take(activemq, f"DLQ.{queue}").body == b"late"


def test_what_was_not_acknowledged_comes_back_without_limit(activemq: Engine) -> None:
    queue = name()
    send(activemq, f"/queue/{queue}", b"again")
    for _ in range(12):
        with session(activemq) as consumer:
            subscribe(consumer, f"/queue/{queue}")
            assert consumer.expect("MESSAGE").body == b"again"
    assert take(activemq, queue).headers["redelivered"] == "true"


def test_statistics_are_answered_in_json(activemq: Engine) -> None:
    queue, answers = name(), name()
    send(activemq, f"/queue/{queue}")
    with session(activemq) as client:
        subscribe(client, f"/queue/{answers}", transformation="jms-map-json")
        client.send(
            "SEND",
            {
                "destination": f"/queue/ActiveMQ.Statistics.Destination.{queue}",
                "reply-to": f"/queue/{answers}",
            },
        )
        entries = json.loads(client.expect("MESSAGE").body)["map"]["entry"]
    assert {"string": "size", "long": 1} in entries


def test_a_delayed_message_comes_later(activemq: Engine) -> None:
    queue = name()
    sent = time.monotonic()
    send(activemq, f"/queue/{queue}", b"later", AMQ_SCHEDULED_DELAY="1000")
    assert take(activemq, queue).body == b"later"
    assert time.monotonic() - sent > 0.9


def test_a_taken_port_is_named(own: ActiveMQ) -> None:
    with (
        socket.create_server((LOOPBACK, own.port)),
        pytest.raises(EngineError, match=f"port {own.port} is taken"),
    ):
        own.start()


def test_usual_port_numbers_are_taken_when_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWF_PORTS")
    # Below those from which this process and all clients on the machine take theirs.
    usual = next(number for number in range(9031, 9100) if is_free(number))
    assert port(tmp_path, "usual", usual) == usual
    with socket.create_server((LOOPBACK, usual)):
        assert not is_free(usual)
        assert port(tmp_path, "unusual", usual) != usual
        assert port(tmp_path, "usual", usual) == usual


def test_a_keystore_adds_tls(own: ActiveMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, certificate = tmp_path / "broker.p12", tmp_path / "broker.pem"
    common = ["-keystore", str(store), "-storepass", "secret", "-alias", "broker"]
    make = ["-genkeypair", "-keyalg", "EC", "-dname", "CN=localhost", "-ext", "SAN=ip:127.0.0.1"]
    for command in ([*make, "-storetype", "PKCS12"], ["-exportcert", "-rfc", "-file", str(certificate)]):
        subprocess.run(["keytool", *command, *common], check=True, capture_output=True)
    monkeypatch.setenv("ACTIVEMQ_KEYSTORE", str(store))
    monkeypatch.setenv("ACTIVEMQ_KEYSTORE_PASSWORD", "secret")
    own.start()
    trusting = ssl.create_default_context(cafile=str(certificate))
    with StompSession(
        (LOOPBACK, own.tls_port), user=USER, password=password(own.home, "activemq"), tls=trusting
    ) as client:
        assert client.connected.command == "CONNECTED"


def test_another_broker_on_this_host_is_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = ActiveMQ(tmp_path)
    for name_, value in broker.environment().items():
        monkeypatch.setenv(name_, value)
    assert broker.embedded()
    monkeypatch.setenv("ACTIVEMQ_PASSWORD", "the other one's")
    assert not broker.embedded()
    monkeypatch.delenv("ACTIVEMQ_HOST")
    assert broker.embedded()
