"""Taking messages from the testbed's ActiveMQ, over STOMP: each is acknowledged when it has been handled, not before.

This needs stomp.py: `pip install swf-client[stomp]`.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import time
from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .errors import Away, SettingMissing
from .stream import CONNECTED, DISCONNECTED, Event
from .web import pauses

if TYPE_CHECKING:
    from .line import Line

PREFETCH = 10

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Broker:
    """Where the broker is and how to log in. Of several hosts, whichever answers."""

    hosts: tuple[tuple[str, int], ...]
    user: str
    password: str
    tls: bool = False
    ca_certs: str = ""

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> Broker | None:
        """The broker that `ACTIVEMQ_HOST` names, in the variables that the testbed reads too; None if it names none.

        Raises:
            SettingMissing: a port is none.
        """
        named = [host.strip() for host in variables.get("ACTIVEMQ_HOST", "").split(",") if host.strip()]
        if not named:
            return None
        port = variables.get("ACTIVEMQ_PORT", "") or "61616"
        return cls(
            hosts=tuple(_address(host, port) for host in named),
            user=variables.get("ACTIVEMQ_USER", "") or "admin",
            password=variables.get("ACTIVEMQ_PASSWORD", ""),
            tls=variables.get("ACTIVEMQ_USE_SSL", "").lower() in {"1", "true", "yes", "on"},
            ca_certs=variables.get("ACTIVEMQ_SSL_CA_CERTS", ""),
        )


def messages(
    broker: Broker,
    name: str,
    msg_types: Collection[str] = (),
    *,
    namespace: str = "",
    prefetch: int = PREFETCH,
) -> Generator[Event, None, None]:
    """What is published on `epictopic`, in order, each at least once: also what came while the agent was away.

    The broker keeps it in the queue `Agent.<name>.epictopic` from the first call on. A message is acknowledged when the
    next one is asked for. One that was in hand when the process was killed, or when an exception left the loop, comes
    again; its `msg_id` tells. What is no JSON goes to the broker's dead letters. Close the iterator to leave.

    Args:
        name: of the agent; two that use the same share its messages.
        msg_types: only these; others are acknowledged and forgotten. All without.
        namespace: only messages of this namespace; all without.
        prefetch: how many messages the broker sends ahead.

    Raises:
        Refused: the broker does not let this user in.
        SettingMissing: stomp.py is not installed.
    """
    make_line = _lines()
    waits = pauses()
    while True:
        line = make_line(list(broker.hosts), tls=broker.tls, ca_certs=broker.ca_certs)
        try:
            line.open(broker.user, broker.password, destination(name), prefetch)
            yield Event(CONNECTED, data={"destination": destination(name)})
            waits = pauses()
            while True:
                frame = line.next_frame()
                event = _event_in(frame.body)
                if event is None:
                    logger.error("What is no message was put to the dead letters: %.200s", frame.body)
                    line.reject(frame)
                    continue
                if _is_wanted(event, msg_types, namespace):
                    yield event
                line.acknowledge(frame)
        except Away as error:
            reason = str(error)
        finally:
            line.close()
        pause = next(waits)
        yield Event(DISCONNECTED, data={"reason": reason, "retry_seconds": round(pause, 1)})
        time.sleep(pause)


def destination(name: str) -> str:
    """The queue of an agent. The name is one word of it, so what ActiveMQ takes for syntax is written as `%XX`."""
    word = re.sub(r"[%,?*>.\s]", lambda found: f"%{ord(found[0]):02X}", name)
    return f"/queue/Agent.{word}.epictopic"


def _lines() -> type[Line]:
    try:
        line: type[Line] = importlib.import_module("swf_client.line").Line
    except ModuleNotFoundError as error:
        raise SettingMissing("messages over STOMP need stomp.py: pip install 'swf-client[stomp]'") from error
    return line


def _event_in(body: Any) -> Event | None:
    try:
        data = json.loads(body)
    except (ValueError, TypeError):
        return None
    return Event(str(data.get("msg_type", "")), data=data) if isinstance(data, dict) else None


def _is_wanted(event: Event, msg_types: Collection[str], namespace: str) -> bool:
    return (not msg_types or event.type in msg_types) and (
        not namespace or event.data.get("namespace") == namespace
    )


def _address(host: str, default_port: str) -> tuple[str, int]:
    try:
        split = urlsplit(f"//{host}")
        return split.hostname or host, split.port or int(default_port)
    except ValueError as error:
        raise SettingMissing(
            f"ACTIVEMQ_HOST, ACTIVEMQ_PORT: {host!r} has no port that is one: {error}"
        ) from error
