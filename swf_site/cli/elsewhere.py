"""The database and the broker where they are served elsewhere: whether they let this testbed in."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg
from kombu import Connection
from kombu.exceptions import KombuError

from apps.agents.bus.stomp.frames import StompError
from services.activemq import address
from services.activemq.engine import ActiveMQ
from services.bus import another_broker
from services.postgres.engine import Postgres
from services.variables import VariableError, text
from swf_site.cli.broker import brokers
from swf_site.cli.errors import CommandError
from swf_site.cli.home import Home

CONNECT_SECONDS = 3
# What the engines of our own are called, by the scheme of an address.
NAMES = {"stomp": "activemq", "stomp+ssl": "activemq", "amqp": "rabbitmq", "amqps": "rabbitmq"}


@dataclass(frozen=True)
class Server:
    """A server that somebody else runs; `address` has no login. `reason` says why it lets nobody in, None if it does."""

    name: str
    address: str
    reason: str | None


def servers(home: Home) -> list[Server]:
    """Those that the variables of this process name, each tried with a login; takes a few seconds for each at most."""
    found = []
    if not Postgres(home.directory).embedded():
        found.append(_server(Postgres.name, os.environ[Postgres.selected_by], _ask_postgres))
    if variable := another_broker(home.directory):
        found.append(_broker(home, variable))
    return found


def _broker(home: Home, variable: str) -> Server:
    try:
        url = address.url() if variable == ActiveMQ.selected_by else text("BROKER_URL")
    except VariableError as error:
        return Server("broker", variable, str(error))
    scheme = urlsplit(url).scheme
    if scheme.startswith("stomp"):
        return _server(ActiveMQ.name, url, lambda _: _ask_activemq(home))
    return _server(NAMES.get(scheme, scheme), url, _ask_postgres if scheme == "pgmq" else _ask_broker)


def _server(name: str, url: str, ask: Callable[[str], str | None]) -> Server:
    places = [urlsplit(one).netloc.rpartition("@")[2] for one in url.split(";")]
    return Server(name, ", ".join(places), ask(url))


def _ask_postgres(url: str) -> str | None:
    try:
        with psycopg.connect(
            f"postgresql{url[url.index(':') :]}", connect_timeout=CONNECT_SECONDS
        ) as connection:
            connection.execute("SELECT 1")
    except (psycopg.Error, ValueError) as error:
        return _in_a_line(error)
    return None


def _ask_activemq(home: Home) -> str | None:
    """None when one of its hosts lets us in; the clients try them in turn."""
    reasons = []
    try:
        for broker in brokers(home):
            try:
                with broker.connected():
                    return None
            except (OSError, StompError) as error:
                reasons.append(f"{broker}: {_in_a_line(error)}")
    except (CommandError, VariableError) as error:
        return _in_a_line(error)
    return "; ".join(reasons)


def _ask_broker(url: str) -> str | None:
    try:
        transport = Connection(url, connect_timeout=CONNECT_SECONDS).transport
    except (LookupError, ImportError) as error:
        return _in_a_line(error)
    known = (*transport.connection_errors, *transport.channel_errors)
    failures: tuple[type[BaseException], ...] = (OSError, KombuError, *known)
    try:
        transport.close_connection(transport.establish_connection())
    except failures as error:
        return _in_a_line(error)
    return None


def _in_a_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
