"""Requesting runs: numbers without gaps under concurrency, definitions that never change, every parameter on record."""

from __future__ import annotations

import re

import pytest
from django.db import DatabaseError, transaction

from apps.runs import services
from apps.runs.models import Counter, Run, WorkflowDefinition, WorkflowExecution
from tests.factories import a_run, a_workflow
from tests.parallel import in_parallel

pytestmark = pytest.mark.django_db


class Abandoned(Exception):
    """A request that fails after it has drawn its number."""


def test_runs_are_numbered_from_100010() -> None:
    assert [a_run().run_number for _ in range(3)] == [100010, 100011, 100012]


@transaction.atomic
def abandoned_request() -> None:
    a_run()
    raise Abandoned


def test_a_request_that_fails_leaves_no_gap() -> None:
    first = a_run()
    with pytest.raises(Abandoned):
        abandoned_request()
    second = a_run()

    assert second.run_number == first.run_number + 1
    assert second.execution.execution_id.endswith("-0002")


def test_parallel_requests_some_of_which_fail_leave_no_gap(transactional_db: None) -> None:
    def four_requests() -> None:
        for _ in range(4):
            a_run()

    def four_failures() -> None:
        for _ in range(4):
            with pytest.raises(Abandoned):
                abandoned_request()

    in_parallel(four_requests, four_failures, four_requests, four_failures)

    numbers = sorted(Run.objects.values_list("run_number", flat=True))
    assert numbers == list(range(100010, 100018))
    ids = sorted(WorkflowExecution.objects.values_list("execution_id", flat=True))
    assert ids == [f"fast-tester-{n:04d}" for n in range(1, 9)]


def test_executions_are_counted_per_workflow_and_user() -> None:
    def execution_of(user: str, name: str = "fast") -> str:
        workflow = a_workflow(name=name)
        run = services.request_run(workflow, namespace="test", requested_by=user)
        return run.execution.execution_id

    assert [execution_of("ann"), execution_of("bob"), execution_of("ann")] == [
        "fast-ann-0001",
        "fast-bob-0001",
        "fast-ann-0002",
    ]
    assert execution_of("ann", "slow") == "slow-ann-0001"


def test_the_execution_keeps_every_parameter_and_the_code_that_ran_it() -> None:
    run = a_run(stf_count=7)

    parameters = run.execution.parameter_values
    assert parameters["daq_state_machine"]["stf_count"] == 7
    assert parameters["replication"]["rses"] == ["E1_BNL", "E1_JLAB"]
    version = run.execution.git_version
    assert version == {} or re.fullmatch(r"[0-9a-f]{40}", version["commit"])


def test_a_request_says_run_workflow_in_the_name_of_who_asked() -> None:
    run = a_run()

    [entry] = run.journal.all()
    assert (entry.kind, entry.actor, entry.namespace) == ("run_workflow", "tester", run.namespace)
    assert entry.payload["params"] == run.parameters


def test_the_same_parameters_are_the_same_version_and_others_a_new_one() -> None:
    versions = [a_run(stf_count=count).execution.workflow_definition.version for count in (1, 2, 1, 3, 2)]

    assert versions == [1, 2, 1, 3, 2]


def test_parallel_requests_with_the_same_new_content_make_one_version(transactional_db: None) -> None:
    in_parallel(*[lambda: a_run(stf_count=5)] * 4)
    a_run(stf_count=6)

    assert list(WorkflowDefinition.objects.order_by("version").values_list("version", flat=True)) == [1, 2]
    assert Run.objects.count() == 5
    assert Counter.objects.get(name="definition:fast").value == 2


@pytest.mark.parametrize(
    "change", [{"parameter_values": {}}, {"definition": ""}, {"version": 9}, {"created_by": "somebody else"}]
)
def test_a_definition_is_never_changed(change: dict[str, object]) -> None:
    definition = a_run().execution.workflow_definition

    with (
        pytest.raises(DatabaseError, match="workflow definition fast version 1 is immutable"),
        transaction.atomic(),
    ):
        WorkflowDefinition.objects.filter(pk=definition.pk).update(**change)


def test_a_namespace_is_made_on_first_use_and_kept() -> None:
    first, second = a_run(), a_run()

    assert first.namespace == second.namespace
    assert first.namespace.owner == "tester"
