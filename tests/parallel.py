"""Several database connections at work at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import connection


def in_parallel(*calls: Callable[[], object]) -> list[object]:
    """What the calls return, made at the same moment, each over its own connection; the first exception is raised."""
    together = threading.Barrier(len(calls))

    def one(call: Callable[[], object]) -> object:
        try:
            connection.ensure_connection()
            together.wait(10)
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [done.result() for done in [pool.submit(one, call) for call in calls]]
