"""Writing the journal: the only channel by which a change becomes known.

`record()` must run inside the transaction that makes the change. Nothing is sent from here but a NOTIFY, which
PostgreSQL delivers with the commit and drops with a rollback.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone
from uuid_utils.compat import uuid7

from .models import JournalEntry, JournalStream, Namespace, Run

# The relay listens here for "something was committed".
CHANNEL = "swf_journal"


@dataclass(frozen=True)
class Cause:
    """Who acts, and on which message's account."""

    actor: str
    correlation_id: UUID | None = None
    causation_id: UUID | None = None


@dataclass(frozen=True)
class Change:
    """One change to be recorded. `payload` holds the fields of the bus message of the same kind, if there is one."""

    kind: str
    run: Run | None = None
    subject: str = ""
    payload: dict[str, Any] = field(default_factory=dict)
    namespace: Namespace | None = None
    occurred_at: datetime | None = None


_cause: ContextVar[Cause | None] = ContextVar("journal_cause", default=None)


def current_cause() -> Cause:
    """The cause in force, by default the operating system's user."""
    return _cause.get() or Cause(actor=getpass.getuser())


@contextmanager
def acting_as(
    actor: str, *, correlation_id: UUID | None = None, causation_id: UUID | None = None
) -> Iterator[None]:
    """All entries recorded inside carry this actor and these ids."""
    token = _cause.set(Cause(actor, correlation_id, causation_id))
    try:
        yield
    finally:
        _cause.reset(token)


@contextmanager
def on_behalf_of(person: str) -> Iterator[None]:
    """As `acting_as`, for a person; keeps the ids of the cause in force."""
    token = _cause.set(replace(current_cause(), actor=person))
    try:
        yield
    finally:
        _cause.reset(token)


def record(change: Change) -> JournalEntry:
    """Append one entry to the journal of the transaction in progress."""
    return record_many([change])[0]


def record_many(changes: Sequence[Change]) -> list[JournalEntry]:
    """Append entries in order; one insert for all.

    Raises:
        TransactionManagementError: outside a transaction, where a change and its entry could part.
    """
    if not changes:
        return []
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("journal.record needs the transaction of its change")
    cause = current_cause()
    now = timezone.now()
    next_sequences: dict[int | None, int] = {
        run_id: _reserve(run_id, cause.actor, sum(c.run is not None and c.run.pk == run_id for c in changes))
        for run_id in sorted({c.run.pk for c in changes if c.run is not None})
    }
    if without_run := sum(c.run is None for c in changes):
        next_sequences[None] = _reserve(None, cause.actor, without_run)
    entries = []
    for change in changes:
        run_id = change.run.pk if change.run else None
        msg_id = uuid7()
        entries.append(
            JournalEntry(
                msg_id=msg_id,
                kind=change.kind,
                run=change.run,
                namespace_id=change.run.namespace_id if change.run else _id(change.namespace),
                actor=cause.actor,
                subject=change.subject,
                payload=change.payload,
                stream_sequence=next_sequences[run_id],
                correlation_id=cause.correlation_id or msg_id,
                causation_id=cause.causation_id,
                occurred_at=change.occurred_at or now,
            )
        )
        next_sequences[run_id] += 1
    created = JournalEntry.objects.bulk_create(entries)
    with connection.cursor() as cursor:
        cursor.execute(f"NOTIFY {CHANNEL}")
    return created


def _id(namespace: Namespace | None) -> int | None:
    return namespace.pk if namespace else None


def _reserve(run_id: int | None, producer: str, count: int) -> int:
    """Take `count` numbers of a stream and return the first. The row stays locked until the commit."""
    table = JournalStream._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{table}" (run_id, producer, last) VALUES (%s, %s, %s) '  # noqa: S608 - own table name
            f'ON CONFLICT (run_id, producer) DO UPDATE SET last = "{table}".last + EXCLUDED.last RETURNING last',
            [run_id, producer, count],
        )
        last: int = cursor.fetchone()[0]
    return last - count + 1
