"""What is misspelled is refused where nobody sends more than is known, and named."""

from __future__ import annotations

from typing import Any

import pytest

from apps.runs.models import Run
from tests.factories import a_run
from tests.rest import Agent, errors

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(agent: Agent) -> Run:
    """A run of another DAQ."""
    agent.post("runs/", {"run_number": 102827})
    return Run.objects.get()


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("PATCH", "runs/102827/", {"end_tmie": "2026-08-01T11:00:00Z"}, "end_tmie"),
        ("PATCH", "runs/102827/", {"total_stf_files": 1, "by": "ann"}, "by"),
        ("POST", "runs/", {"run_number": 7, "name_space": "local"}, "name_space"),
        ("POST", "run-states/", {"run_number": 7, "sate": "imminent"}, "sate"),
        ("PATCH", "run-states/102827/", {"sub_state": "physics"}, "sub_state"),
        ("PATCH", "workflow-executions/e-1/", {"state": "completed"}, "state"),
        ("POST", "namespaces/ensure/", {"name": "new", "onwer": "ann"}, "onwer"),
        ("POST", "workers/", {"worker_id": "w-1", "stauts": "ended"}, "stauts"),
        ("POST", "tf-slices/claim/", {"worker_id": "w-1", "run": 7}, "run"),
    ],
)
def test_a_field_that_is_not_known_is_refused(
    agent: Agent, run: Run, method: str, path: str, body: dict[str, Any], field: str
) -> None:
    answer: Any = agent.ask(method, path, body)

    assert (answer.status_code, errors(answer.json())) == (400, {field})
    assert list(Run.objects.values_list("lifecycle", flat=True)) == ["imminent"]


def test_what_the_server_counts_itself_may_be_said(agent: Agent, run: Run) -> None:
    said = {"slices_created": 7, "phase": "physics", "state_changed_at": "2026-08-01T11:00:00"}

    state = agent.patch("run-states/102827/", {"state": "run", "substate": "physics", **said})

    assert (state["state"], state["slices_created"]) == ("run", 0)


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("runs/?state=nope", "state"),
        ("runs/?state=run&state=nope", "state"),
        ("run-states/?state=nope", "state"),
        ("runs/{}/statistics/?nope=1", "nope"),
        ("runs/{}/?nope=1", "nope"),
    ],
)
def test_what_cannot_be_asked_is_refused(agent: Agent, path: str, parameter: str) -> None:
    run = a_run()

    assert errors(agent.get(path.format(run.run_number), status=400)) == {parameter}


def test_runs_are_found_by_their_states(agent: Agent, run: Run) -> None:
    assert len(agent.get("runs/?state=beam&state=run")["results"]) == 1
    assert agent.get("runs/?state=off")["results"] == []
    agent.get(f"runs/{run.run_number}/statistics/?format=json")
