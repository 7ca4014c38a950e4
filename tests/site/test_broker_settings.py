"""From the environment to Celery's broker."""

from __future__ import annotations

import os
import ssl

import pytest
from django.core.exceptions import ImproperlyConfigured

from swf_site.settings import broker

DATABASE = "postgresql://swf:secret@127.0.0.1:5432/swf"


@pytest.fixture(autouse=True)
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that names no broker."""
    for name in list(os.environ):
        if name.startswith(("BROKER_URL", "ACTIVEMQ_")):
            monkeypatch.delenv(name)


def test_the_database_is_the_broker_unless_another_is_named() -> None:
    url = broker.url(DATABASE)
    assert url == "pgmq://swf:secret@127.0.0.1:5432/swf"
    assert broker.transport_options(url, "mine")["conn_string"] == DATABASE


def test_hosts_of_an_activemq_become_addresses_to_fail_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIVEMQ_HOST", "one, two:61613,[::1]")
    monkeypatch.setenv("ACTIVEMQ_PASSWORD", "a/b@c;d")
    assert broker.url(DATABASE).split(";") == [
        "stomp://admin:a%2Fb%40c%3Bd@one:61616//",
        "stomp://admin:a%2Fb%40c%3Bd@two:61613//",
        "stomp://admin:a%2Fb%40c%3Bd@[::1]:61616//",
    ]
    monkeypatch.setenv("ACTIVEMQ_USER", "swf")
    monkeypatch.setenv("ACTIVEMQ_PORT", "61612")
    assert broker.url(DATABASE).startswith("stomp://swf:a%2Fb%40c%3Bd@one:61612//")


def test_broker_url_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIVEMQ_HOST", "one")
    monkeypatch.setenv("BROKER_URL", "amqp://two")
    assert broker.url(DATABASE) == "amqp://two"
    assert broker.transport_options("amqp://two", "mine") == {"confirm_publish": True}
    monkeypatch.setenv("BROKER_URL", "")
    assert broker.url(DATABASE).startswith("stomp://")


def test_a_port_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIVEMQ_HOST", "one:stomp")
    with pytest.raises(ImproperlyConfigured, match="ACTIVEMQ_HOST: 'one:stomp'"):
        broker.url(DATABASE)


def test_tls_is_for_activemq_only_and_verifies(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broker.tls("stomp://one") is None
    monkeypatch.setenv("ACTIVEMQ_USE_SSL", "True")
    assert broker.tls("stomp://one") == {"cert_reqs": ssl.CERT_REQUIRED}
    assert broker.tls("amqp://one") is None
    monkeypatch.setenv("ACTIVEMQ_SSL_CA_CERTS", "/etc/ca.pem")
    assert broker.tls("stomp://one") == {"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": "/etc/ca.pem"}
