"""Where clients find ActiveMQ, as `ACTIVEMQ_*` say: this testbed's own, or one of the user's."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from services.variables import VariableError, flag, number, text, words

PORT = 61616


def url(variables: Mapping[str, str] = os.environ) -> str:
    """The broker's address, "" if `ACTIVEMQ_HOST` names none; several of one broker are separated by semicolons.

    Raises:
        VariableError: a host of `ACTIVEMQ_HOST` has a port that is none.
    """
    user = quote(text("ACTIVEMQ_USER", "admin", variables), safe="")
    password = quote(text("ACTIVEMQ_PASSWORD", "", variables), safe="")
    port = number("ACTIVEMQ_PORT", PORT, variables)
    return ";".join(
        f"stomp://{user}:{password}@{_with_port(host, port)}//"
        for host in words("ACTIVEMQ_HOST", variables=variables)
    )


def tls(variables: Mapping[str, str] = os.environ) -> dict[str, Any] | None:
    """TLS as Celery's `broker_use_ssl` says it, from `ACTIVEMQ_USE_SSL` and `ACTIVEMQ_SSL_CA_CERTS`; None without."""
    if not flag("ACTIVEMQ_USE_SSL", default=False, variables=variables):
        return None
    certificates = text("ACTIVEMQ_SSL_CA_CERTS", "", variables)
    return {"cert_reqs": ssl.CERT_REQUIRED, **({"ca_certs": certificates} if certificates else {})}


def _with_port(host: str, default: int) -> str:
    try:
        return host if urlsplit(f"//{host}").port is not None else f"{host}:{default}"
    except ValueError as error:
        raise VariableError(f"ACTIVEMQ_HOST: {host!r} is no host[:port]: {error}") from error
