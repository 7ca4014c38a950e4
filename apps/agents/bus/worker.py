"""An agent as a Celery worker: one queue, one process, its loops beside it."""

from __future__ import annotations

import gc
import sys
from socket import gethostname
from typing import Any

from celery import current_app
from celery.signals import worker_ready, worker_shutdown

from .agent import AgentSpec
from .loop import keep_connections
from .runtime import AgentRuntime
from .topology import queue_name, queues_of, use_plain_messages

# A message is several short questions to the database. After each answer its thread would wait up to 5 ms, Python's
# default, for a loop that computes.
SWITCH_SECONDS = 0.0001

_runtime: AgentRuntime | None = None
# Celery's, from when it is ready for the first time.
_consumer: Any = None


def runtime() -> AgentRuntime:
    """The agent that this process runs.

    Raises:
        RuntimeError: it runs none; tasks of agents are for `manage.py agent NAME` only.
    """
    if _runtime is None:
        raise RuntimeError("this process is no agent: start one with `manage.py agent NAME`")
    return _runtime


def run_worker(spec: AgentSpec, *, log_level: str) -> None:
    """Be this agent until told to stop (SIGTERM: finish the message and the steps in progress, then leave)."""
    global _runtime
    sys.setswitchinterval(SWITCH_SECONDS)
    keep_connections()
    _runtime = AgentRuntime(spec, _bus_trouble)
    # Celery would log into the database anew for every message.
    current_app.conf.CELERY_DB_REUSE_MAX = 1_000_000
    use_plain_messages(current_app, spec)
    current_app.conf.task_queues = queues_of(current_app, spec)
    current_app.conf.task_default_queue = queue_name(spec)
    worker_ready.connect(_remember, weak=False)
    worker_shutdown.connect(_stop, weak=False)
    _runtime.start()
    # Tasks only write a row and wake a loop, so one at a time in the main thread is the whole pool.
    # Celery's command line would do the same, but loads a shell first.
    worker = current_app.Worker(
        hostname=f"{spec.name}@{gethostname()}",
        pool="solo",
        concurrency=1,
        loglevel=log_level,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    sys.exit(worker.exitcode)


def _remember(sender: Any, **_: object) -> None:
    global _consumer
    _consumer = sender
    # What start-up has made stays. Looking for garbage in it would halt a message for a tenth of a second.
    gc.freeze()


def _bus_trouble() -> str:
    if _consumer is not None and _consumer.connection is not None:
        return ""
    return f"bus: no connection to {current_app.connection_for_read().as_uri()}"


def _stop(**_: object) -> None:
    runtime().stop()
