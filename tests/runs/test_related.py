"""Rows with what they belong to: of that, only what is asked for is read."""

from __future__ import annotations

from typing import Any

import pytest

from apps.runs import journal
from apps.runs.models import JournalEntry, Run
from apps.runs.related import with_related
from apps.runs.selectors import get_run
from tests.factories import a_running_run

pytestmark = pytest.mark.django_db


def test_what_is_named_is_read_with_the_rows(django_assert_num_queries: Any) -> None:
    run = get_run(a_running_run().run_number)
    rows = with_related(
        Run.objects.all(), namespace=["name"], execution=["execution_id"], execution__workflow_definition=[]
    )

    with django_assert_num_queries(1):
        found = rows.get()
        assert found == run
        assert found.namespace.name == run.namespace.name
        assert found.execution.execution_id == run.execution.execution_id
        assert found.execution.workflow_definition.pk == run.execution.workflow_definition_id
        assert found.run_conditions == run.run_conditions


def test_what_is_not_named_is_read_when_it_is_asked_for(django_assert_num_queries: Any) -> None:
    run = get_run(a_running_run().run_number)
    found = with_related(Run.objects.all(), execution=["execution_id"]).get()

    assert "parameter_values" in found.execution.get_deferred_fields()
    with django_assert_num_queries(1):
        assert found.execution.parameter_values == run.parameters


def test_rows_that_belong_to_nothing_stay() -> None:
    journal.record(journal.Change("access_changed", subject="ann"))

    rows = with_related(JournalEntry.objects.all(), run=["run_number"], run__execution=["execution_id"])
    assert [row.run for row in rows] == [None]


def test_the_other_way_of_a_one_to_one_too(django_assert_num_queries: Any) -> None:
    run = get_run(a_running_run().run_number)
    rows = with_related(type(run.execution).objects.all(), run=["run_number"])

    with django_assert_num_queries(1):
        assert [row.run.run_number for row in rows] == [run.run_number]  # type: ignore[attr-defined]
