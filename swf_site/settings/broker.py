"""Celery's broker: `BROKER_URL`, else the ActiveMQ of `ACTIVEMQ_*`, else queues in the testbed's own database."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from services.activemq import address

from . import env

# A message of a killed worker comes back after the visibility timeout. Tasks only write a row and wake a loop, so it is
# seconds, not kombu's half hour.
PGMQ_OPTIONS = {
    "visibility_timeout": 8,
    "wait_time_seconds": 0,
    "polling_interval": 1,
    "use_notify": True,
    "notify_throttle_interval_ms": 1,
    "init_extension": False,
    "pool_size": 2,
    "pool_timeout": 5,
}


def url(database_url: str) -> str:
    """The broker's address; several of one ActiveMQ are separated by semicolons, as Celery takes them.

    Raises:
        ImproperlyConfigured: a host of `ACTIVEMQ_HOST` has a port that is none.
    """
    named = env.text("BROKER_URL", "")
    return named or env.configured(address.url)() or f"pgmq{database_url[database_url.index(':') :]}"


def tls(broker_url: str) -> dict[str, Any] | None:
    """Celery's `broker_use_ssl` from `ACTIVEMQ_USE_SSL` and `ACTIVEMQ_SSL_CA_CERTS`; None without TLS.

    Other brokers have their TLS in the scheme of their address (`amqps://`).
    """
    return env.configured(address.tls)() if broker_url.startswith("stomp") else None


def transport_options(broker_url: str, namespace: str) -> dict[str, Any]:
    """What the transport of this address is told beside it; on ActiveMQ, remote control stays within the namespace."""
    scheme = urlsplit(broker_url).scheme
    if scheme == "pgmq":
        # Without this, pgmq's client would go to DATABASE_URL, whatever the broker's address says.
        return {**PGMQ_OPTIONS, "conn_string": broker_url.replace("pgmq://", "postgresql://", 1)}
    if scheme.startswith("stomp"):
        return {"prefix": namespace}
    # The relay moves its cursor past what it has sent: so it waits until the broker has it.
    return {"confirm_publish": True}
