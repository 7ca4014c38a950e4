"""Writing the journal: the only channel by which a change becomes known.

`record()` must run inside the transaction that makes the change. Nothing is sent from here but a NOTIFY, which
PostgreSQL delivers with the commit and drops with a rollback.
"""

from __future__ import annotations

import getpass
from collections import Counter
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

from .inserting import Made, insert_all
from .models import JournalEntry, JournalStream, Namespace, Run

# The relay listens here for "something was committed".
CHANNEL = "swf_journal"


@dataclass(frozen=True)
class Heard:
    """A message of another system. The entry of its kind that comes of it is that message: its id, its sender."""

    kind: str
    msg_id: UUID
    sender: str


@dataclass(frozen=True)
class Cause:
    """Who acts, and on which message's account; `heard` if that message is not out of our own journal."""

    actor: str
    correlation_id: UUID | None = None
    causation_id: UUID | None = None
    heard: Heard | None = None


@dataclass(frozen=True)
class Change:
    """One change to be recorded. `payload` holds the fields of the bus message of the same kind, if there is one.

    Without a `cause` of its own, it has the one in force.
    """

    kind: str
    run: Run | None = None
    subject: str = ""
    payload: dict[str, Any] = field(default_factory=dict)
    namespace: Namespace | None = None
    occurred_at: datetime | None = None
    cause: Cause | None = None


_cause: ContextVar[Cause | None] = ContextVar("journal_cause", default=None)


def current_cause() -> Cause:
    """The cause in force, by default the operating system's user."""
    return _cause.get() or Cause(actor=getpass.getuser())


@contextmanager
def acting_as(
    actor: str,
    *,
    correlation_id: UUID | None = None,
    causation_id: UUID | None = None,
    heard: Heard | None = None,
) -> Iterator[None]:
    """All entries recorded inside carry this actor and these ids."""
    with because_of(Cause(actor, correlation_id, causation_id, heard)):
        yield


@contextmanager
def on_behalf_of(person: str) -> Iterator[None]:
    """As `acting_as`, for a person; keeps the ids of the cause in force."""
    with because_of(replace(current_cause(), actor=person)):
        yield


@contextmanager
def because_of(cause: Cause) -> Iterator[None]:
    """All entries recorded inside have this cause, but for those with one of their own."""
    token = _cause.set(cause)
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
    in_force = current_cause()
    now = timezone.now()
    causes = [change.cause or in_force for change in changes]
    streams = [_stream(change, cause) for change, cause in zip(changes, causes, strict=True)]
    counts = Counter(streams)
    left = dict(counts)
    entries = []
    for change, cause, stream in zip(changes, causes, streams, strict=True):
        left[stream] -= 1
        entries.append(_entry(change, cause, stream_sequence=-left[stream], now=now))
    insert_all(entries, _counted(counts))
    return entries


def _stream(change: Change, cause: Cause) -> tuple[int | None, str]:
    """Run and producer, within which entries are counted."""
    heard = _heard(change, cause)
    return (change.run.pk if change.run else None, heard.sender if heard else cause.actor)


def _heard(change: Change, cause: Cause) -> Heard | None:
    return cause.heard if cause.heard and cause.heard.kind == change.kind else None


def _entry(change: Change, cause: Cause, *, stream_sequence: int, now: datetime) -> JournalEntry:
    heard = _heard(change, cause)
    msg_id = heard.msg_id if heard else uuid7()
    return JournalEntry(
        msg_id=msg_id,
        kind=change.kind,
        run=change.run,
        namespace_id=change.run.namespace_id if change.run else _id(change.namespace),
        actor=heard.sender if heard else cause.actor,
        subject=change.subject,
        payload=change.payload,
        stream_sequence=stream_sequence,
        correlation_id=cause.correlation_id or msg_id,
        causation_id=None if heard else cause.causation_id,
        occurred_at=change.occurred_at or now,
        heard=heard is not None,
    )


def _id(namespace: Namespace | None) -> int | None:
    return namespace.pk if namespace else None


def _counted(counts: Counter[tuple[int | None, str]]) -> Made:
    """The `stream_sequence` of entries that have been counted back from 0, the last one of each stream.

    So many numbers of each stream are taken, and its row stays locked until the commit. The NOTIFY goes along: it is sent
    with the commit, whenever it was asked for. All this costs no round trip of its own.
    """
    table = JournalStream._meta.db_table
    # In one order everywhere: two writers that lock the same streams must not wait for each other.
    taken = sorted(counts.items(), key=lambda item: (item[0][0] or 0, item[0][1]))
    return Made(
        "stream_sequence",
        "given.stream_sequence + (SELECT last FROM stream "
        "WHERE producer = given.actor AND run_id IS NOT DISTINCT FROM given.run_id)",
        "stream",
        f'INSERT INTO "{table}" (run_id, producer, last) '  # noqa: S608 - own table name
        f"VALUES {', '.join(['(%s::bigint, %s, %s)'] * len(taken))} "
        f'ON CONFLICT (run_id, producer) DO UPDATE SET last = "{table}".last + EXCLUDED.last '
        "RETURNING run_id, producer, last, pg_notify(%s, '')",
        [*(value for (run_id, producer), count in taken for value in (run_id, producer, count)), CHANNEL],
    )
