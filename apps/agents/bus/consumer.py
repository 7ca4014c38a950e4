"""Celery's consumer, but one that soon notices that its broker is back."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer

# Celery's own pauses grow to 32 s, and nothing configures them.
LONGEST_PAUSE_SECONDS = 4


class Consumer(CeleryConsumer):
    """The setting `worker_consumer` names it."""

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, trying again for as long as it takes."""
        conn.ensure_connection = partial(
            conn.ensure_connection, interval_start=1, interval_step=1, interval_max=LONGEST_PAUSE_SECONDS
        )
        return super().ensure_connected(conn)
