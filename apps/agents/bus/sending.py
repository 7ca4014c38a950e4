"""Putting a message on the bus: as a task for agents, which on ActiveMQ goes out as the message alone."""

from __future__ import annotations

from typing import Any

from celery import current_app
from kombu import Connection, Exchange, Producer
from kombu.exceptions import KombuError

from .topology import RECEIVE_TASK


def connection_to_send() -> Connection:
    """A connection without heart-beats of its own: nobody would send them between two messages."""
    return current_app.connection_for_write(heartbeat=0)


def failures(broker: Connection) -> tuple[type[BaseException], ...]:
    """What a broker that is away raises, whatever broker it is."""
    return (KombuError, OSError, *broker.connection_errors, *broker.channel_errors)


def send(producer: Producer, message: dict[str, Any], exchange: Exchange, routing_key: str) -> None:
    """Publish a message, which must have its `msg_id`."""
    task = current_app.amqp.create_task_message(message["msg_id"], RECEIVE_TASK, [message], {})
    producer.publish(
        task.body,
        exchange=exchange,
        routing_key=routing_key,
        declare=[exchange],
        headers=task.headers,
        **task.properties,
    )
