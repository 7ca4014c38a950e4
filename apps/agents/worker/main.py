"""A worker as a Celery worker: the shared queue of slices and one of its own, one process, a thread for its heartbeat."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from celery import current_app
from celery.platforms import EX_OK
from celery.signals import worker_ready, worker_shutting_down
from celery.worker import state
from django.conf import settings

from apps.runs.errors import RetryableError

from ..bus.slices import forget_worker
from ..bus.topology import RECEIVE_TASK, slices_queue, use_plain_messages, worker_queue
from .scratch import scratch_directory
from .slices import Limits, SliceWorker
from .taking import take_for
from .voice import Voice

log = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
# For the last results, if the broker is away when a worker leaves. After that their leases bring the slices back.
FAREWELL_SECONDS = 5.0


def run_slice_worker(
    worker_id: str,
    limits: Limits,
    *,
    log_level: str,
    say: Callable[[str], None],
    progress: Callable[[SliceWorker], None],
) -> SliceWorker:
    """Process slices until told to stop (SIGTERM or `stop_transformer`: finish the slice in hand, then leave).

    Args:
        say: is given one line about each slice.
        progress: is called every second, in a thread.

    Returns:
        The worker, which knows what it has done and why it left.
    """
    voice = Voice()
    with scratch_directory(settings.SWF_HOME / "scratch" / "slices") as scratch:
        worker = SliceWorker(worker_id, limits, voice, leave=_leave, say=say, scratch=scratch)
        _serve(worker, log_level=log_level, progress=progress)
    _say_farewell(worker, voice)
    return worker


def _serve(worker: SliceWorker, *, log_level: str, progress: Callable[[SliceWorker], None]) -> None:
    """Celery, until the worker is to leave."""
    _prepare(worker)
    heartbeat = _Heartbeat(worker, progress)
    worker_ready.connect(heartbeat.begin, weak=False)
    worker_shutting_down.connect(lambda sig, **_: worker.stop(sig), weak=False)
    celery = current_app.Worker(
        hostname=worker.worker_id,
        pool="solo",
        concurrency=1,
        loglevel=log_level,
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    celery.start()
    heartbeat.stop()


def _prepare(worker: SliceWorker) -> None:
    use_plain_messages(current_app, worker_id=worker.worker_id)
    conf = current_app.conf
    conf.task_queues = [slices_queue(), worker_queue(worker.worker_id)]
    conf.task_default_queue = slices_queue().name
    conf.worker_prefetch_multiplier = 1
    conf.worker_enable_remote_control = False
    # A slice may take longer than a broker waits for heart-beats; the operating system notices dead connections.
    conf.broker_heartbeat = 0
    # PostgreSQL as the broker need not wait for the disk three times per slice: what a crash loses, leases bring back.
    os.environ.setdefault("PGOPTIONS", "-c synchronous_commit=off")
    current_app.loader.import_default_modules()
    current_app.tasks[RECEIVE_TASK].Strategy = "apps.agents.worker.taking:Taking"
    take_for(worker)


def _leave() -> None:
    # Celery looks at it between two messages.
    state.should_stop = EX_OK  # type: ignore[assignment] # as its own signal handlers do


class _Heartbeat(threading.Thread):
    """Says every second that the worker is there, and what it has in hand; from when it takes slices."""

    def __init__(self, worker: SliceWorker, progress: Callable[[SliceWorker], None]) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._worker = worker
        self._progress = progress
        self._stopping = threading.Event()

    def begin(self, **_: object) -> None:
        """Celery is connected; it says so anew after each interruption."""
        if not self.ident:
            self.start()

    def stop(self) -> None:
        """No further beat; the one under way is waited for."""
        self._stopping.set()
        if self.ident:
            self.join(FAREWELL_SECONDS)

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._worker.beat()
                self._progress(self._worker)
            except Exception:
                # A worker that is not heard of counts as lost, and what it has in hand would be processed twice.
                log.exception("no heartbeat")
            self._stopping.wait(BEAT_SECONDS)


def _say_farewell(worker: SliceWorker, voice: Voice) -> None:
    worker.end()
    deadline = time.monotonic() + FAREWELL_SECONDS
    while voice.unsent and time.monotonic() < deadline:
        time.sleep(BEAT_SECONDS)
        worker.end()
    if voice.unsent:
        log.warning(
            "%d results could not be sent: their slices will be given to another worker", voice.unsent
        )
    voice.close()
    try:
        forget_worker(worker.worker_id)
    except RetryableError as error:
        log.warning("the queue of this worker stays: %s", error)
