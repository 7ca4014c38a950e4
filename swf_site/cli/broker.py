"""ActiveMQ as the command line reaches it: where it is, and a connection to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from kombu import Connection

from apps.agents.bus import stomp
from apps.agents.bus.stomp.wire import Wire
from services.activemq import address
from services.bus import chosen_bus
from services.variables import text
from swf_site.cli.errors import CommandError
from swf_site.cli.home import Home

HEARTBEAT_SECONDS = 10.0
CONNECT_SECONDS = 5.0
# Above the broker's own limit of 100 MiB: whatever lies in a queue can be read, and be refused.
FRAME_LIMIT = 128 * 1024 * 1024

stomp.register()


@dataclass(frozen=True)
class Broker:
    """One address of an ActiveMQ; `tls` are the options of Celery's `broker_use_ssl`, None without TLS."""

    url: str
    tls: dict[str, Any] | None

    def __str__(self) -> str:
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @contextmanager
    def connected(self) -> Iterator[Wire]:
        """A connection, which ends with the context.

        Raises:
            OSError, StompError: there is none, or the login is refused.
        """
        client = Connection(
            self.url,
            ssl=self.tls or False,
            heartbeat=HEARTBEAT_SECONDS,
            connect_timeout=CONNECT_SECONDS,
            transport_options={"frame_limit": FRAME_LIMIT},
        )
        link = client.transport.establish_connection()
        try:
            yield link.wire
        finally:
            link.close_connection(link)


def brokers(home: Home) -> list[Broker]:
    """The places where this home's ActiveMQ may be, to be tried in turn.

    Raises:
        CommandError: its bus is another one, and nobody has named an ActiveMQ.
        EngineError, VariableError: what is said about it has no meaning.
    """
    variables = home.environment()
    url = text("BROKER_URL", "", variables)
    if not url.startswith("stomp"):
        url = address.url(variables)
    if not url:
        raise CommandError(
            f"commands come over ActiveMQ, and the bus of {home.directory} is {chosen_bus(home.directory)}."
            " Choose it: swf-testbed start-local --bus activemq; or name another broker in ACTIVEMQ_HOST"
        )
    tls = address.tls(variables)
    return [Broker(one, tls) for one in url.split(";")]
