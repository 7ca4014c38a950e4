"""The journal: append-only, numbered in the order in which entries become visible."""

from __future__ import annotations

from contextlib import suppress
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection, transaction

from apps.runs import journal
from apps.runs.models import JournalEntry

pytestmark = pytest.mark.django_db


def test_an_entry_needs_the_transaction_of_its_change(transactional_db: None) -> None:
    with pytest.raises(transaction.TransactionManagementError, match="needs the transaction"):
        journal.record(journal.Change("note"))


@pytest.mark.parametrize("change", [{"kind": "other"}, {"payload": {"a": 1}}, {"actor": "somebody else"}])
def test_an_entry_is_never_changed(change: dict[str, object]) -> None:
    entry = journal.record(journal.Change("note"))

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        JournalEntry.objects.filter(pk=entry.pk).update(**change)


def test_an_entry_is_never_deleted() -> None:
    entry = journal.record(journal.Change("note"))

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        entry.delete()


def test_a_position_is_given_once() -> None:
    entry = journal.record(journal.Change("note"))
    JournalEntry.objects.filter(pk=entry.pk).update(position=1)

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        JournalEntry.objects.filter(pk=entry.pk).update(position=2)


def test_a_producers_entries_are_counted_per_run() -> None:
    with journal.acting_as("daqsim"):
        first = journal.record_many([journal.Change("note"), journal.Change("note")])
    with journal.acting_as("data"):
        second = journal.record(journal.Change("note"))

    assert [entry.stream_sequence for entry in first] == [1, 2]
    assert second.stream_sequence == 1


def test_a_change_may_have_a_cause_of_its_own() -> None:
    theirs = journal.Cause("theirs", heard=journal.Heard("note", uuid4(), "their DAQ"))
    with journal.acting_as("data"):
        entries = journal.record_many([journal.Change("note", cause=theirs), journal.Change("note")])

    assert [(entry.actor, entry.heard, entry.stream_sequence) for entry in entries] == [
        ("their DAQ", True, 1),
        ("data", False, 1),
    ]
    assert theirs.heard is not None
    assert entries[0].msg_id == theirs.heard.msg_id


def test_a_commit_is_told_and_a_rollback_is_not(transactional_db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("LISTEN swf_journal")
    with suppress(ZeroDivisionError), transaction.atomic():
        journal.record(journal.Change("dropped"))
        raise ZeroDivisionError
    with transaction.atomic():
        journal.record_many([journal.Change("note"), journal.Change("note")])
    with connection.cursor() as cursor:
        cursor.execute("UNLISTEN *")

    assert [told.channel for told in connection.connection.notifies(timeout=0)] == [journal.CHANNEL]


def test_what_follows_from_a_message_carries_its_ids() -> None:
    cause = journal.record(journal.Change("note"))

    with journal.acting_as("data", correlation_id=cause.correlation_id, causation_id=cause.msg_id):
        effect = journal.record(journal.Change("note"))

    assert (effect.correlation_id, effect.causation_id) == (cause.msg_id, cause.msg_id)
