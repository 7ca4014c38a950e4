"""How Celery hands a worker its messages: one by one, each acknowledged when it has been dealt with.

So the broker keeps from a busy worker what an idle one could take. What it delivers again, since its worker died or its
visibility timeout passed (on PostgreSQL, during any longer slice), nobody processes a second time.
"""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery, Task
from celery.exceptions import WorkerShutdown
from celery.platforms import EX_OK
from kombu import Message

from ..bus.redelivery import was_delivered
from .slices import SliceWorker

log = logging.getLogger(__name__)

_worker: SliceWorker | None = None


def take_for(worker: SliceWorker) -> None:
    """Let this process's messages be those of `worker`."""
    global _worker
    _worker = worker


def _this_worker() -> SliceWorker:
    if _worker is None:
        raise RuntimeError("this process is no worker: start one with `manage.py worker`")
    return _worker


class Taking:
    """The execution strategy (`Task.Strategy`) of a worker's task."""

    def __init__(self, task: Task[Any, Any], app: Celery, consumer: Any) -> None:
        """As Celery makes it."""

    def __call__(self, message: Message, *_: Any) -> None:
        """A message has come."""
        worker = _this_worker()
        try:
            worker.receive(_body(message), again=was_delivered(message))
        except Exception:
            # It would end the worker, and the next one over the same message.
            log.exception("a message could not be dealt with")
        if worker.is_leaving:
            # Not acknowledged, which would bring the next slice: it is delivered to another worker, which lets it be.
            raise WorkerShutdown(EX_OK)
        # One that fails ends the connection: else kombu would count the message as being in hand, and bring no other.
        message.ack()


def _body(message: Message) -> Any:
    try:
        [body, *_], *_ = message.payload
    except Exception as error:  # noqa: BLE001 - a message must not end the worker, whatever its decoder raises
        return f"cannot be decoded: {error}"
    return body
