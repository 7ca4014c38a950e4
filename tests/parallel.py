"""Several database connections at work at the same moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.db import connection

PATIENCE = 60.0


def in_parallel(*calls: Callable[[], object]) -> list[object]:
    """What the calls return, made at the same moment, each over its own connection; the first exception is raised."""
    together = threading.Barrier(len(calls))

    def one(call: Callable[[], object]) -> object:
        try:
            connection.ensure_connection()
            together.wait(PATIENCE)
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [done.result() for done in [pool.submit(one, call) for call in calls]]


@contextmanager
def blocked(call: Callable[[], Any]) -> Iterator[Future[Any]]:
    """The call, made over its own connection, once it waits for a lock of the transaction in progress."""

    def alone() -> Any:
        try:
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(alone)
        deadline = time.monotonic() + PATIENCE
        while not _somebody_waits():
            assert not future.done(), f"it waited for no lock: {future.result()}"
            assert time.monotonic() < deadline, "it neither ends nor waits for a lock"
            time.sleep(0.01)
        yield future


def _somebody_waits() -> bool:
    """For this transaction, that is: others of the same PostgreSQL have locks of their own."""
    with connection.cursor() as cursor:
        # `pg_stat_activity` says the same throughout a transaction.
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
        )
        return bool(cursor.fetchone()[0])
