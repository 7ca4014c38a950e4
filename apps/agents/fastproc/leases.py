"""Leases: what is not heard of any more, workers and slices, is taken back."""

from __future__ import annotations

import logging
import time

from apps.stf import services

from ..bus.slices import forget_worker

# After a restart, first hear what workers have said meanwhile.
LISTEN_SECONDS = 5.0

log = logging.getLogger(__name__)


class Leases:
    """Its step is the loop `leases` of the fastproc agent."""

    def __init__(self, listen_seconds: float = LISTEN_SECONDS) -> None:
        self._begins_at = time.monotonic() + listen_seconds
        self._to_forget: set[str] = set()

    def step(self) -> bool:
        """Take back the slices of lost workers, and those whose lease has ended.

        Raises:
            RetryableError: the broker is away, and still keeps something for workers that are lost.
        """
        if time.monotonic() < self._begins_at:
            return False
        self._to_forget |= set(services.mark_lost())
        if returned := services.return_expired():
            log.info("the leases of %d slices have ended", returned)
        for worker_id in sorted(self._to_forget):
            forget_worker(worker_id)
            self._to_forget.discard(worker_id)
        return False
