"""Messages from a real ActiveMQ: acknowledged when handled, kept while the agent is away, whatever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from swf_client import Broker, Event, Refused, SettingMissing, web
from swf_client.broker import destination, messages

from apps.agents.models import Subscriber, SystemAgent
from services.activemq.engine import ActiveMQ
from services.base import Engine
from tests.services.test_activemq import take
from tests.system.plain_client import PlainClient
from tests.web import PATIENCE, Web

from .conftest import a_token, example, said
from .test_logs import eventually

pytestmark = pytest.mark.services

TOPIC = "/topic/epictopic"


@pytest.fixture
def name() -> str:
    """Of an agent, of this test alone."""
    return f"example-agent-ann.b-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def plain(activemq: Engine) -> Iterator[PlainClient]:
    client = PlainClient(activemq.environment())
    yield client
    client.close()


def at(engine: Engine, **changes: str) -> Broker:
    """The broker as its clients are told of it."""
    found = Broker.from_environment(engine.environment() | changes)
    assert found
    return found


def send(plain: PlainClient, *numbers: int, **fields: Any) -> None:
    for number in numbers:
        plain.send(TOPIC, {"msg_type": "stf_ready", "sequence": number, **fields}, persistent="true")


def connected(line: Generator[Event, None, None]) -> None:
    """Go on once the subscription is there."""
    while (event := next(line)).type != "connected":
        assert event.type == "disconnected"


def taken(line: Iterator[Event], count: int) -> list[int]:
    """The numbers of the next messages; what is said of the line is passed over."""
    return [
        event.data["sequence"]
        for event in islice((event for event in line if event.data.get("msg_type")), count)
    ]


def test_messages_come_in_order_only_those_that_are_wanted(
    activemq: Engine, plain: PlainClient, name: str
) -> None:
    with closing(messages(at(activemq), name, ["stf_ready"], namespace="local", prefetch=2)) as line:
        connected(line)
        send(plain, 1, namespace="local")
        send(plain, 9, namespace="elsewhere")
        send(plain, 9, namespace="local", msg_type="stf_gen")
        send(plain, 2, 3, 4, 5, namespace="local")
        assert taken(line, 5) == [1, 2, 3, 4, 5]


def test_what_is_not_handled_comes_again_and_nothing_is_lost_meanwhile(
    activemq: Engine, plain: PlainClient, name: str
) -> None:
    with closing(messages(at(activemq), name)) as line:
        connected(line)
        send(plain, 1, 2, 3)
        assert taken(line, 2) == [1, 2]
    send(plain, 4)
    with closing(messages(at(activemq), name)) as line:
        # Nobody has asked for what follows 2: it was in hand.
        assert taken(line, 3) == [2, 3, 4]


@pytest.mark.parametrize("text", ["no JSON", "[]"])
def test_what_is_no_message_goes_to_the_dead_letters(
    activemq: Engine, plain: PlainClient, name: str, text: str
) -> None:
    with closing(messages(at(activemq), name)) as line:
        connected(line)
        plain.send(TOPIC, text, persistent="true")
        send(plain, 1)
        assert taken(line, 1) == [1]
    queue = destination(name).removeprefix("/queue/")
    assert take(activemq, f"DLQ.{queue}").body == text.encode()


def test_a_broker_that_is_killed_costs_no_message(
    activemq: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "RETRY_MOST_SECONDS", 1.0)
    own = ActiveMQ(tmp_path)
    own.start()
    try:
        with closing(messages(at(own), "example-agent-ann-1")) as line:
            connected(line)
            publish(own, 1, 2)
            assert taken(line, 2) == [1, 2]
            assert own.pid
            os.killpg(own.pid, signal.SIGKILL)
            lost = next(line)
            own.stop()
            own.start()
            publish(own, 3)
            came: list[int] = []
            while not {2, 3} <= set(came):
                came += taken(line, 1)
    finally:
        own.stop()
    assert lost.type == "disconnected"
    assert lost.data["reason"]
    # The second was in hand, and comes again; that the first was not any more, the broker may not have written down yet.
    assert set(came) <= {1, 2, 3}


def publish(engine: Engine, *numbers: int) -> None:
    """Send over a connection of its own; what has been sent survives the broker."""
    plain = PlainClient(engine.environment())
    for number in numbers:
        plain.send_surely(TOPIC, {"msg_type": "stf_ready", "sequence": number}, persistent="true")
    plain.close()


@pytest.fixture
def secured(activemq: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ActiveMQ]:
    """A broker that speaks TLS, by a certificate that nobody else knows: `tmp_path / "broker.pem"`."""
    store, certificate = tmp_path / "broker.p12", tmp_path / "broker.pem"
    common = ["-keystore", str(store), "-storepass", "secret", "-alias", "broker"]
    make = ["-genkeypair", "-keyalg", "EC", "-dname", "CN=localhost", "-ext", "SAN=dns:localhost"]
    for command in ([*make, "-storetype", "PKCS12"], ["-exportcert", "-rfc", "-file", str(certificate)]):
        subprocess.run(["keytool", *command, *common], check=True, capture_output=True)
    monkeypatch.setenv("ACTIVEMQ_KEYSTORE", str(store))
    monkeypatch.setenv("ACTIVEMQ_KEYSTORE_PASSWORD", "secret")
    broker = ActiveMQ(tmp_path)
    broker.start()
    yield broker
    broker.stop()


def test_over_tls_the_broker_must_show_a_certificate_that_is_trusted(
    secured: ActiveMQ, tmp_path: Path, name: str
) -> None:
    said = {"ACTIVEMQ_PORT": str(secured.tls_port), "ACTIVEMQ_USE_SSL": "true"}
    trusting = said | {"ACTIVEMQ_SSL_CA_CERTS": str(tmp_path / "broker.pem")}
    with closing(messages(at(secured, ACTIVEMQ_HOST="localhost", **trusting), name)) as line:
        connected(line)
        publish(secured, 1, 2)
        assert taken(line, 2) == [1, 2]
    # Unknown to the system's authorities; of another host.
    for stranger in (at(secured, ACTIVEMQ_HOST="localhost", **said), at(secured, **trusting)):
        with closing(messages(stranger, name)) as line:
            assert next(line).type == "disconnected"


def test_a_broker_that_is_away_is_asked_again(name: str) -> None:
    nobody = Broker(hosts=(("127.0.0.1", 1),), user="admin", password="")
    with closing(messages(nobody, name)) as line:
        assert [next(line).type for _ in range(2)] == ["disconnected", "disconnected"]


def test_who_is_not_let_in_is_told_so(activemq: Engine, name: str) -> None:
    stranger = at(activemq, ACTIVEMQ_PASSWORD="wrong")
    with closing(messages(stranger, name)) as line, pytest.raises(Refused, match="ACTIVEMQ_PASSWORD"):
        # When the broker hangs up before its word is through, it is asked again.
        list(islice(line, 10))


def test_without_stomp_py_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "stomp", None)
    monkeypatch.delitem(sys.modules, "swf_client.line", raising=False)
    with pytest.raises(SettingMissing, match="pip install"):
        next(messages(Broker(hosts=(("127.0.0.1", 1),), user="admin", password=""), name))


def test_the_name_is_one_word_of_the_queue() -> None:
    assert destination("data-agent-ann.b-1") == "/queue/Agent.data-agent-ann%2Eb-1.epictopic"


def test_the_environment_names_the_broker() -> None:
    assert Broker.from_environment({}) is None
    assert Broker.from_environment(
        {"ACTIVEMQ_HOST": "one, two:61614", "ACTIVEMQ_PORT": "61613", "ACTIVEMQ_USE_SSL": "true"}
    ) == Broker(hosts=(("one", 61613), ("two", 61614)), user="admin", password="", tls=True)
    with pytest.raises(SettingMissing, match="ACTIVEMQ_PORT"):
        Broker.from_environment({"ACTIVEMQ_HOST": "one", "ACTIVEMQ_PORT": "none"})


@pytest.mark.django_db(transaction=True)
def test_the_example_takes_its_messages_from_the_broker(
    activemq: Engine, plain: PlainClient, web: Web, tmp_path: Path
) -> None:
    with example(web.url, a_token(), tmp_path / "state.json", **activemq.environment()) as agent:
        eventually(lambda: Subscriber.objects.filter(delivery_type="activemq").exists())
        eventually(lambda: SystemAgent.objects.filter(counters__mq_connected=True).exists())
        send(plain, 1, filename="swf.100010.000001.stf", run_id="100010")
        eventually(lambda: said(about="is ready") == ["swf.100010.000001.stf is ready"])
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(PATIENCE) == 0
