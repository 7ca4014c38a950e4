"""Definitions and executions that the workflow runner of the existing system declares over REST."""

from __future__ import annotations

from typing import Any

import pytest

from apps.runs.models import JournalEntry, Run, WorkflowDefinition, WorkflowExecution
from tests.factories import a_run, a_running_run, ended
from tests.parallel import in_parallel
from tests.queries import queries_of
from tests.rest import Agent, errors

pytestmark = pytest.mark.django_db

EXECUTION_ID = "stf_datataking-ann-0049"
DEFINITION = {
    "workflow_name": "stf_datataking",
    "version": "1.0",
    "workflow_type": "simulation",
    "definition": "class WorkflowExecutor:\n    ...\n",
    "parameter_values": {
        "workflow": {"name": "stf_datataking"},
        "sections": {"simulation": {"stf_count": 5}},
    },
    "created_by": "ann",
    "created_at": "2026-08-01T10:00:00",
}


def execution(definition: int, **changes: Any) -> dict[str, Any]:
    """What the runner sends when it begins."""
    return {
        "execution_id": EXECUTION_ID,
        "workflow_definition": definition,
        "namespace": "torre1",
        "status": "running",
        "executed_by": "ann",
        "start_time": "2026-08-01T10:00:00",
        "parameter_values": {"fast_processing": {"slices_per_sample": 15}},
    } | changes


@pytest.fixture
def definition(agent: Agent) -> int:
    """The id of a declared definition."""
    return int(agent.post("workflow-definitions/", DEFINITION)["id"])


def test_a_definition_is_declared_once(agent: Agent) -> None:
    first = agent.post("workflow-definitions/", DEFINITION)
    again = agent.post("workflow-definitions/", DEFINITION, status=200)
    put: Any = agent.ask("PUT", f"workflow-definitions/{first['id']}/", DEFINITION)

    assert first == again == put.json()
    assert (first["version"], first["definition"]) == ("1.0", DEFINITION["definition"])
    found = agent.get("workflow-definitions/?workflow_name=stf_datataking&version=1.0")["results"]
    assert [row["id"] for row in found] == [first["id"]]
    assert JournalEntry.objects.filter(kind="definition_declared").count() == 1


@pytest.mark.parametrize("field", ["definition", "parameter_values", "workflow_type"])
def test_other_content_is_another_version(agent: Agent, definition: int, field: str) -> None:
    other = {**DEFINITION, field: {"other": 1} if field == "parameter_values" else "other"}

    problem = agent.post("workflow-definitions/", other, status=409)
    assert errors(problem) == {"version"}
    assert "another version" in problem["detail"]
    agent.post("workflow-definitions/", {**other, "version": "1.1"})


def test_definitions_of_this_testbed_are_found_by_number(agent: Agent) -> None:
    a_run()

    (found,) = agent.get("workflow-definitions/?workflow_name=fast&version=1")["results"]
    assert found["version"] == "1"
    assert agent.get("workflow-definitions/?version=x")["results"] == []


@pytest.mark.django_db(transaction=True)
def test_a_definition_that_is_declared_by_many_at_once_is_one() -> None:
    answers: Any = in_parallel(
        *(
            lambda one=one: one.ask("POST", "workflow-definitions/", DEFINITION)
            for one in [Agent() for _ in range(4)]
        )
    )

    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert WorkflowDefinition.objects.get().version == 1


def test_an_execution_is_declared_and_ends(agent: Agent, definition: int) -> None:
    first = agent.post("workflow-executions/", execution(definition))
    again = agent.post("workflow-executions/", execution(definition), status=200)

    assert first == again
    assert (first["status"], first["namespace"], first["run_number"]) == ("running", "torre1", None)
    path = f"workflow-executions/{EXECUTION_ID}/"
    assert agent.get(path)["parameter_values"] == {"fast_processing": {"slices_per_sample": 15}}
    done = agent.patch(path, {"status": "completed", "end_time": "2026-08-01T11:00:00"})
    assert (done["status"], done["end_time"]) == ("completed", "2026-08-01T11:00:00Z")
    agent.patch(path, {"status": "completed", "end_time": None})
    kinds = JournalEntry.objects.filter(subject=EXECUTION_ID).values_list("kind", flat=True)
    assert list(kinds) == ["execution_declared", "execution_reported"]


@pytest.mark.parametrize("after", ["running", "failed", "pending"])
def test_what_has_ended_stays_so(agent: Agent, definition: int, after: str) -> None:
    agent.post("workflow-executions/", execution(definition))
    path = f"workflow-executions/{EXECUTION_ID}/"
    agent.patch(path, {"status": "terminated"})

    assert errors(agent.patch(path, {"status": after}, status=409)) == {"status"}
    assert errors(agent.patch(path, {"status": "flying"}, status=400)) == {"status"}


def test_an_id_belongs_to_one_execution(agent: Agent, definition: int) -> None:
    agent.post("workflow-executions/", execution(definition))

    other = execution(definition, parameter_values={})
    problem = agent.post("workflow-executions/", other, status=409)
    assert errors(problem) == {"execution_id"}
    assert "next-workflow-execution-id" in problem["detail"]


@pytest.mark.parametrize(
    ("field", "value"), [("workflow_definition", 7), ("status", "fine"), ("execution_id", "a/b")]
)
def test_a_wrong_value_names_its_field(agent: Agent, definition: int, field: str, value: Any) -> None:
    said = execution(definition, **{field: value})

    assert errors(agent.post("workflow-executions/", said, status=400)) == {field}


def test_the_run_that_is_announced_under_its_id_is_its_run(agent: Agent, definition: int) -> None:
    agent.post("workflow-executions/", execution(definition))
    agent.post("run-states/", {"run_number": 102827, "metadata": {"execution_id": EXECUTION_ID}})

    run = Run.objects.get()
    assert (run.execution.execution_id, run.namespace.name) == (EXECUTION_ID, "torre1")
    # This testbed goes by parameters of its own.
    assert run.parameters["buffer"]["release_policy"] == "keep"
    (found,) = agent.get("workflow-executions/?run_number=102827&status=running&namespace=torre1")["results"]
    assert found["execution_id"] == EXECUTION_ID
    ended_run = agent.patch("runs/102827/", {"end_time": "2026-08-01T11:00:00"})
    assert ended_run["lifecycle"] == "ended"


def test_executions_of_this_testbed_are_what_their_runs_are(agent: Agent) -> None:
    run = a_running_run()
    path = f"workflow-executions/{run.execution.execution_id}/"

    assert (agent.get(path)["status"], agent.get(path)["parameter_values"]) == ("running", run.parameters)
    assert errors(agent.patch(path, {"status": "completed"}, status=409)) == {"status"}
    assert len(agent.get("workflow-executions/?status=running")["results"]) == 1
    assert agent.get("workflow-executions/?status=pending")["results"] == []
    ended(run, count=0)
    assert agent.get(path)["end_time"] is not None


def test_an_id_of_another_runner_is_never_given_to_an_execution_of_ours(
    agent: Agent, definition: int
) -> None:
    agent.post("workflow-executions/", execution(definition, execution_id="fast-tester-0001"))

    assert [a_run().execution.execution_id for _ in range(2)] == ["fast-tester-0002", "fast-tester-0003"]


def test_metrics_are_changed_by_who_has_seen_them(agent: Agent, definition: int) -> None:
    agent.post("workflow-executions/", execution(definition))
    path, said = f"workflow-executions/{EXECUTION_ID}/", {"performance_metrics": {"stfs": 5}}
    seen = agent.ask("GET", path)["ETag"]

    agent.patch(path, said, status=428)
    agent.patch(path, said, If_Match=seen)
    agent.patch(path, {"performance_metrics": {}}, status=412, If_Match=seen)
    agent.patch(path, {"status": "failed"}, status=412, If_Match=seen)
    assert WorkflowExecution.objects.get().performance_metrics == {"stfs": 5}


def test_lists_take_a_constant_number_of_queries(agent: Agent, definition: int) -> None:
    def requests() -> list[int]:
        return [
            queries_of(lambda path=path: agent.client.get(f"/api/{path}/"))
            for path in ("workflow-definitions", "workflow-executions")
        ]

    agent.post("workflow-executions/", execution(definition))
    a_run()
    few = requests()
    for number in range(3):
        agent.post("workflow-executions/", execution(definition, execution_id=f"e-{number}"))
        a_run(stf_count=number + 10)

    assert requests() == few
