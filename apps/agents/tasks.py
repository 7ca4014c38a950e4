"""The one task of every agent: a message from the bus."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from celery import Task, shared_task
from celery.exceptions import Reject
from django.db import Error as DatabaseError
from django.db import connection

from apps.runs.errors import RetryableError

from .bus.topology import RECEIVE_TASK
from .bus.worker import runtime

# Something the handler needs is away: look again after so long, and not in a hot loop.
PAUSE_SECONDS = 1.0


@shared_task(bind=True, name=RECEIVE_TASK, acks_late=True)
def receive_message(self: Task[Any, None], body: Any) -> None:
    """Hand the message to this process's agent; it goes back to the queue when it cannot be handled now."""
    try:
        runtime().receive(body, delivery_id=UUID(self.request.id))
    except (RetryableError, DatabaseError) as error:
        if isinstance(error, DatabaseError):
            connection.close()
        time.sleep(PAUSE_SECONDS)
        raise Reject(str(error), requeue=True) from error
