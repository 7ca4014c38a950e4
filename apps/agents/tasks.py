"""The one task of every agent: a message from the bus."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import Task, shared_task

from .bus.receive import Delivery
from .bus.topology import RECEIVE_TASK
from .bus.worker import runtime


class BatchingTask(Task):  # type: ignore[type-arg] # Celery's has none at run time
    """A task whose messages a worker takes together."""

    Strategy = "apps.agents.bus.batching:Batching"


@shared_task(bind=True, base=BatchingTask, name=RECEIVE_TASK)
def receive_message(self: Task[Any, Any], body: Any) -> None:
    """Hand the message to this process's agent."""
    runtime().receive([Delivery(body, UUID(self.request.id))])
