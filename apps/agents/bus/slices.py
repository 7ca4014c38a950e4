"""Slices on the bus: on their way to the workers, and what workers say.

Neither goes through the journal: there may be thousands in a second, and the lease of a slice brings back what is lost.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from celery import current_app
from django.conf import settings
from kombu import Exchange

from apps.runs.errors import RetryableError

from .sending import Outgoing, Sender, connection_to_send, failures
from .topology import ANYWHERE, EPICTOPIC, RESULTS_QUEUE, SLICES, is_plain, slices_queue, worker_queue

_DEFAULT_EXCHANGE = Exchange("")

_sender = Sender()
_one_at_a_time = threading.Lock()


def send_slices(bodies: Sequence[dict[str, Any]]) -> None:
    """Put slices into the queue of the workers, in this order. Thread-safe.

    Args:
        bodies: `fast_schemas.Slice` as JSON, each with its `msg_id`. Their namespace becomes that of this testbed, which
            workers and transformers select by.

    Raises:
        RetryableError: the broker does not answer; it is not known which of them it has.
    """
    exchange = SLICES if is_plain(current_app) else _DEFAULT_EXCHANGE
    queue = slices_queue().name
    with _one_at_a_time:
        _sender.send(
            [Outgoing({**body, "namespace": settings.SWF_NAMESPACE}, exchange, queue) for body in bodies]
        )


def said_by_worker(message: dict[str, Any], *, transient: bool = False) -> Outgoing:
    """A worker's message on its way to whoever follows the slices.

    On ActiveMQ it goes where those of transformers come in: on the topic every agent would be handed a copy.
    """
    if is_plain(current_app):
        return Outgoing(message, ANYWHERE, f"/queue/{RESULTS_QUEUE}", transient)
    return Outgoing(message, EPICTOPIC, message["msg_type"], transient)


def forget_worker(worker_id: str) -> None:
    """Remove what the broker keeps for a worker that is gone. May be repeated, and for one that never was.

    Raises:
        RetryableError: the broker does not answer.
    """
    if is_plain(current_app):
        return  # a plain subscription ends with its connection
    with connection_to_send() as broker:
        try:
            queue = worker_queue(worker_id)(broker.default_channel)
            queue.declare()  # kombu's queues on PostgreSQL are deleted only by whoever has declared them
            queue.delete()
        except failures(broker) as error:
            raise RetryableError(f"the broker does not take messages: {error}") from error
