"""Rows written together are the rows that were given."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction

from apps.runs.inserting import insert_all, insert_if_all_new, insert_if_new, update_all
from apps.runs.models import JournalEntry, Run
from tests.factories import a_run

pytestmark = pytest.mark.django_db

PAYLOAD = {
    "text": "quotes \" ' and \\ and ü and \u2028 %s",
    "list": [1, None, 2.5, {"a": True}],
    "big": 2**60,
}


def entries(count: int) -> list[JournalEntry]:
    return [
        JournalEntry(
            kind="note",
            actor="tester's",
            subject=f"swf.{n}.stf",
            payload=PAYLOAD,
            stream_sequence=2**62 + n,
            correlation_id=uuid4(),
            occurred_at=datetime(2026, 7, 1, 12, 0, 0, 123_456, tzinfo=UTC),
        )
        for n in range(count)
    ]


def test_they_are_stored_as_they_are_and_know_their_keys() -> None:
    given = entries(3)
    insert_all(given)

    fields = [field.attname for field in JournalEntry._meta.concrete_fields]
    assert list(JournalEntry.objects.order_by("id").values_list(*fields)) == [
        tuple(getattr(entry, name) for name in fields) for entry in given
    ]
    assert not any(entry._state.adding for entry in given)


def test_none_are_inserted_by_no_statement() -> None:
    insert_all([])

    assert not JournalEntry.objects.exists()


def test_all_or_none() -> None:
    first, second = entries(2)
    second.msg_id = first.msg_id
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_all([first, second])

    assert not JournalEntry.objects.exists()


def test_a_row_whose_unique_value_is_taken_is_not_inserted() -> None:
    first, second = entries(2)
    second.msg_id = first.msg_id

    assert insert_if_new(first)
    assert not insert_if_new(second)
    assert JournalEntry.objects.get().pk == first.pk
    assert second.pk is None


@pytest.mark.parametrize("taken", ["elsewhere", "among them", "not at all"])
def test_rows_are_inserted_if_all_are_new_or_not_at_all(taken: str) -> None:
    known, *others = entries(4)
    insert_all([known])
    if taken == "elsewhere":
        others[2].msg_id = known.msg_id
    if taken == "among them":
        others[2].msg_id = others[1].msg_id

    assert insert_if_all_new(others) is (taken == "not at all")
    assert insert_if_all_new([])
    stored = list(JournalEntry.objects.order_by("id").values_list("pk", "subject"))
    inserted = others if taken == "not at all" else []
    assert stored == [(one.pk, one.subject) for one in [known, *inserted]]
    assert inserted or {one.pk for one in others} == {None}


def test_rows_are_updated_together_and_in_these_fields_only() -> None:
    first, second, other = (a_run() for _ in range(3))
    for run in (first, second):
        run.run_conditions = PAYLOAD | {"run": run.run_number}
        run.start_time = datetime(2026, 7, 1, 12, 0, 0, 123_456, tzinfo=UTC)
        run.abort_reason = "not written"
    update_all([first, second], ["run_conditions", "start_time"])

    stored = {run.pk: run for run in Run.objects.all()}
    for run in (first, second):
        assert stored[run.pk].run_conditions == run.run_conditions
        assert stored[run.pk].start_time == run.start_time
        assert stored[run.pk].abort_reason == ""
    assert (stored[other.pk].run_conditions, stored[other.pk].start_time) == (other.run_conditions, None)


def test_none_are_updated_by_no_statement() -> None:
    update_all([], ["abort_reason"])
