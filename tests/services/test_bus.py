"""The choice of the bus: who decides, what is started for it, and how its clients reach it."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.activemq.engine import ActiveMQ
from services.base import EngineError
from services.bus import BROKERS, CHOICES, Bus, another_broker, choose_bus, chosen_bus
from services.rabbitmq.engine import RabbitMQ
from services.registry import compose_environment, engines
from services.remembered import change


@pytest.fixture(autouse=True)
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that names no engine."""
    for name in ("DATABASE_URL", "BROKER_URL", "BROKER_URL_FILE", "ACTIVEMQ_HOST", "ACTIVEMQ_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


def keep(home: Path, bus: Bus) -> None:
    """Choose a bus, whether this machine has it or not."""
    change(home / CHOICES, "bus", str(bus))


def brokers(home: Path) -> set[str]:
    """The brokers that are started here."""
    return set(engines(home)) & set(BROKERS)


def test_queues_in_postgresql_unless_something_is_chosen(tmp_path: Path) -> None:
    assert chosen_bus(tmp_path) is Bus.PGMQ
    assert brokers(tmp_path) == set()
    assert compose_environment(tmp_path)["BROKER_URL"].startswith("pgmq://")
    assert not (tmp_path / CHOICES).exists()


def test_a_choice_is_kept_until_the_next(tmp_path: Path) -> None:
    keep(tmp_path, Bus.RABBITMQ)
    assert brokers(tmp_path) == {"rabbitmq"}
    assert compose_environment(tmp_path)["BROKER_URL"].startswith("amqp://admin:")
    keep(tmp_path, Bus.ACTIVEMQ)
    assert brokers(tmp_path) == {"activemq"}
    composed = compose_environment(tmp_path)
    assert composed["ACTIVEMQ_HOST"] == "127.0.0.1"
    assert composed["BROKER_URL"] == ""
    choose_bus(tmp_path, Bus.PGMQ)
    assert brokers(tmp_path) == set()


@pytest.mark.parametrize("bus", Bus)
def test_a_child_of_the_testbed_sees_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bus: Bus
) -> None:
    keep(tmp_path, bus)
    composed = compose_environment(tmp_path)
    for name, value in composed.items():
        monkeypatch.setenv(name, value)
    assert another_broker(tmp_path) is None
    assert compose_environment(tmp_path) == composed


@pytest.mark.parametrize("before", Bus)
@pytest.mark.parametrize("bus", Bus)
def test_a_shell_of_before_the_change_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: Bus, bus: Bus
) -> None:
    keep(tmp_path, before)
    for name, value in compose_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "rabbitmq").mkdir()
    keep(tmp_path, bus)
    assert brokers(tmp_path) == {bus} & set(BROKERS)
    assert (
        compose_environment(tmp_path)["BROKER_URL"].partition(":")[0]
        == {
            Bus.PGMQ: "pgmq",
            Bus.RABBITMQ: "amqp",
            Bus.ACTIVEMQ: "",
        }[bus]
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BROKER_URL", "amqp://broker.example.org"),
        ("BROKER_URL_FILE", "/run/secrets/broker"),
        ("ACTIVEMQ_HOST", "127.0.0.1"),
    ],
)
def test_a_broker_of_the_users_own_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    keep(tmp_path, Bus.RABBITMQ)
    monkeypatch.setenv(name, value)
    assert another_broker(tmp_path) == name
    assert brokers(tmp_path) == set()
    assert not compose_environment(tmp_path).get("BROKER_URL")


def test_asking_reserves_no_port_for_a_broker_that_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_URL", "amqp://broker.example.org")
    engines(tmp_path)
    assert "rabbitmq" not in (tmp_path / "ports.json").read_text()


@pytest.mark.parametrize("bus", BROKERS)
def test_what_is_missing_is_said_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bus: Bus
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(EngineError, match=r"not found\. Install: apt-get install"):
        choose_bus(tmp_path, bus)
    assert chosen_bus(tmp_path) is Bus.PGMQ
    for engine in (ActiveMQ(tmp_path), RabbitMQ(tmp_path)):
        assert "Install: apt-get install" in str(engine.ready())


def test_a_choice_that_is_none_is_named(tmp_path: Path) -> None:
    change(tmp_path / CHOICES, "bus", "kafka")
    with pytest.raises(EngineError, match=r"choices\.json: bus must be one of pgmq, activemq, rabbitmq"):
        engines(tmp_path)
