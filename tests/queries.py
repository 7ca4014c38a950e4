"""Counting queries: a list must not take more of them when there is more to list."""

from __future__ import annotations

from collections.abc import Callable

from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext


def queries_of(request: Callable[[], HttpResponse]) -> int:
    """How many queries a request takes, which must succeed."""
    with CaptureQueriesContext(connection) as queries:
        assert request().status_code == 200
    return len(queries)


def count_queries(call: Callable[[], object]) -> int:
    """How many queries the call takes."""
    with CaptureQueriesContext(connection) as queries:
        call()
    return len(queries)
