"""A database and a broker that somebody else runs: `status-local` says whether they let us in."""

from __future__ import annotations

import re

import pytest

from services.base import Engine
from swf_site.cli import broker, elsewhere
from swf_site.cli.elsewhere import Server, servers
from swf_site.cli.home import Home


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever lets us in may be busy."""
    for module in (broker, elsewhere):
        monkeypatch.setattr(module, "CONNECT_SECONDS", 60)


def named(home: Home, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> Server:
    """The one server that these variables name."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    [server] = servers(home)
    return server


def test_engines_of_our_own_are_not_elsewhere(home: Home) -> None:
    assert servers(home) == []


@pytest.mark.services
@pytest.mark.parametrize("variable", ["DATABASE_URL", "BROKER_URL"])
def test_a_postgresql_is_asked_for_an_answer(
    home: Home, monkeypatch: pytest.MonkeyPatch, postgres: Engine, variable: str
) -> None:
    url = postgres.environment()[variable]
    assert named(home, monkeypatch, {variable: url}).reason is None
    wrong = named(home, monkeypatch, {variable: url.replace("swf:", "swf:not", 1)})

    assert (wrong.name, wrong.address) == (
        {"DATABASE_URL": "postgres", "BROKER_URL": "pgmq"}[variable],
        url.rpartition("@")[2].partition("/")[0],
    )
    assert "password authentication failed" in str(wrong.reason)


@pytest.mark.services
def test_one_host_of_an_activemq_that_lets_us_in_is_enough(
    home: Home, monkeypatch: pytest.MonkeyPatch, activemq: Engine
) -> None:
    variables = activemq.environment()
    host = f"127.0.0.1:{variables['ACTIVEMQ_PORT']}"
    variables["ACTIVEMQ_HOST"] = f"127.0.0.1:1,{host}"

    assert named(home, monkeypatch, variables) == Server("activemq", f"127.0.0.1:1, {host}", None)
    wrong = named(home, monkeypatch, {"ACTIVEMQ_PASSWORD": "wrong"})
    assert f"; {host}: " in str(wrong.reason)
    assert "127.0.0.1:1: [Errno 111] Connection refused" in str(wrong.reason)


@pytest.mark.services
def test_a_rabbitmq_is_asked_for_a_login(
    home: Home, monkeypatch: pytest.MonkeyPatch, rabbitmq: Engine
) -> None:
    url = rabbitmq.environment()["BROKER_URL"]
    found = named(home, monkeypatch, {"BROKER_URL": url})
    assert (found.name, found.reason) == ("rabbitmq", None)
    assert "@" not in found.address
    wrong = named(home, monkeypatch, {"BROKER_URL": re.sub(r":[^:@]*@", ":wrong@", url)})
    assert "ACCESS_REFUSED" in str(wrong.reason)


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("DATABASE_URL", "postgresql://swf:secret@127.0.0.1:1/swf", "refused"),
        ("ACTIVEMQ_HOST", "127.0.0.1:1", "refused"),
        ("ACTIVEMQ_HOST", "one:stomp", "ACTIVEMQ_HOST: 'one:stomp'"),
        ("BROKER_URL", "stomp://admin:secret@127.0.0.1:1//", "refused"),
        ("BROKER_URL", "amqp://swf:secret@127.0.0.1:1//", "refused"),
        ("BROKER_URL", "pgmq://swf:secret@127.0.0.1:1/swf", "refused"),
        ("BROKER_URL", "pigeon://somewhere", "pigeon"),
        ("BROKER_URL_FILE", "/no/such/file", "cannot be read"),
    ],
)
def test_what_is_away_or_means_nothing_has_a_reason_without_its_password(
    home: Home, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, reason: str
) -> None:
    server = named(home, monkeypatch, {variable: value})
    assert reason in str(server.reason)
    assert "secret" not in f"{server}"
