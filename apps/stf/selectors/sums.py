"""Statements that sum over all that a run has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

# A million STFs are joined, and entries of the journal counted, without sorting them on the disk.
_WORK_MEM = "64MB"


@contextmanager
def summing() -> Iterator[Any]:
    """A cursor whose statements may take more memory than others, until its transaction ends."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('work_mem', %s, true)", [_WORK_MEM])
        yield cursor
