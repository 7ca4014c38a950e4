"""Putting a message on the bus: as a task for agents, which on ActiveMQ goes out as the message alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from celery import current_app
from kombu import Connection, Exchange, Producer
from kombu.exceptions import KombuError

from apps.runs.errors import RetryableError

from .topology import RECEIVE_TASK

_BATCH = 200
_TRANSIENT, _PERSISTENT = 1, 2


def connection_to_send() -> Connection:
    """A connection without heart-beats of its own: nobody would send them between two messages.

    It is tried once: whoever sends says that the broker is away, and when to try again.
    """
    return current_app.connection_for_write(
        heartbeat=0, transport_options={"max_retries": 1, "interval_start": 0}
    )


def failures(broker: Connection) -> tuple[type[BaseException], ...]:
    """What a broker that is away raises, whatever broker it is."""
    return (KombuError, OSError, *broker.connection_errors, *broker.channel_errors)


def send(
    producer: Producer,
    message: dict[str, Any],
    exchange: Exchange,
    routing_key: str,
    *,
    transient: bool = False,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Publish a message, which must have its `msg_id`. A broker may forget a transient one, and does not confirm it.

    `headers` are those of the transport beside the task's own, of which ActiveMQ's knows some.
    """
    task = current_app.amqp.create_task_message(message["msg_id"], RECEIVE_TASK, [message], {})
    producer.publish(
        task.body,
        exchange=exchange,
        routing_key=routing_key,
        declare=[exchange],
        headers={**task.headers, **headers},
        delivery_mode=_TRANSIENT if transient else _PERSISTENT,
        **task.properties,
    )


@dataclass(frozen=True)
class Outgoing:
    """A message, which must have its `msg_id`, and where it is to go."""

    message: dict[str, Any]
    exchange: Exchange
    routing_key: str
    transient: bool = False


class Sender:
    """Sends over one connection, which is made anew when it breaks. For one thread at a time."""

    def __init__(self) -> None:
        self._connection: Connection | None = None

    def send(self, outgoing: Sequence[Outgoing]) -> None:
        """Send them in this order.

        Raises:
            RetryableError: the broker does not answer; it is not known which of them it has.
        """
        if not outgoing:
            return
        broker = self._connection or connection_to_send()
        try:
            producer = broker.Producer(serializer="json")
            with producer.batch(_BATCH):  # type: ignore[attr-defined] # newer than the stubs
                for one in outgoing:
                    send(producer, one.message, one.exchange, one.routing_key, transient=one.transient)
        except failures(broker) as error:
            self._connection = broker
            self.close()
            raise RetryableError(f"the broker does not take messages: {error}") from error
        self._connection = broker

    def close(self) -> None:
        """Drop the connection; the next message makes a new one."""
        if self._connection is not None:
            self._connection.release()
            self._connection = None
