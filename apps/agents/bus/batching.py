"""How Celery hands an agent its messages: all that have come in one turn of the worker's loop, together.

Celery would run a task per message. To an agent a message is a few rows, and most of their price is that of a
transaction, so those that wait are taken together: a lone message is handled at once, of a flood many share one.
Every message is acknowledged by itself, after its effect is committed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from celery import Celery, Task
from celery.worker import state
from django.db import connection
from kombu import Message

from .receive import Again, Delivery, Result
from .redelivery import was_delivered
from .worker import runtime

log = logging.getLogger(__name__)

# What a message needs is away: look again after so long, and not in a hot loop.
PAUSE_SECONDS = 1.0


class Batching:
    """The execution strategy (`Task.Strategy`) of the task whose messages are taken together."""

    def __init__(self, task: Task[Any, Any], app: Celery, consumer: Any) -> None:
        self._task = task
        self._consumer = consumer
        self._waiting: list[Message] = []

    def __call__(self, message: Message, *_: Any) -> None:
        """A message has come: handled when the loop has read all that there is."""
        self._waiting.append(message)
        if len(self._waiting) == 1:
            self._consumer.call_soon(self._flush)

    def _flush(self) -> None:
        messages, self._waiting = self._waiting, []
        results = _received([_delivery(message) for message in messages])
        state.total_count[self._task.name] += len(messages)
        reasons = {result.reason for result in results if isinstance(result, Again)}
        if reasons:
            log.warning("delivered again later: %s", "; ".join(sorted(reasons)))
            connection.close()  # it may be the database that is away
            time.sleep(PAUSE_SECONDS)
        errors = self._consumer.connection_errors
        for message, result in zip(messages, results, strict=True):
            if isinstance(result, Again):
                message.reject_log_error(log, errors, requeue=True)
            else:
                message.ack_log_error(log, errors)


def _received(deliveries: Sequence[Delivery]) -> list[Result]:
    try:
        return runtime().receive(deliveries)
    except Exception as error:
        # In the worker's loop it would end the worker, and the next one, over the same messages.
        log.exception("%d messages could not be received", len(deliveries))
        return [Again(f"{type(error).__name__}: {error}")] * len(deliveries)


def _delivery(message: Message) -> Delivery:
    """What the message says. What cannot be decoded is handed on as text, to be parked as it came."""
    given = str(message.headers.get("id") or message.delivery_tag)
    try:
        delivery_id = UUID(given)
    except ValueError:
        delivery_id = uuid5(NAMESPACE_OID, given)
    try:
        [body, *_], *_ = message.payload  # behind the body of a broken message comes the reason
    except Exception as error:  # noqa: BLE001 - a message must not be lost, whatever its decoder raises
        log.warning("a message cannot be decoded: %s", error)
        body = message.body
        text = body.decode(errors="backslashreplace") if isinstance(body, bytes) else str(body)
        return Delivery(text, delivery_id, headers=message.headers)
    return Delivery(
        body,
        delivery_id,
        message.delivery_info.get("routing_key", ""),
        again=was_delivered(message),
        headers=message.headers,
    )
