"""In whose name a change over REST is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from uuid_utils.compat import uuid7

from .. import journal


@contextmanager
def said_over_rest(by: str, kind: str = "") -> Iterator[None]:
    """All entries recorded inside are this client's. One of the `kind` is not sent over the bus: the agents that say
    such a thing over REST say it there themselves."""
    heard = journal.Heard(kind, uuid7(), by) if kind else None
    with journal.acting_as(by, heard=heard):
        yield
