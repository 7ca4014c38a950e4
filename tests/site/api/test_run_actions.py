"""Runs are started and controlled over REST as from pages and on the bus: the same messages, refusals and names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from apps.agents.services import issue_token
from apps.runs.models import Namespace, Run
from apps.runs.services import announce_run
from tests.factories import a_run, a_running_run, an_stf, change_replicas, ended, kinds, registered, verified
from tests.people import a_user
from tests.rest import Agent, errors

pytestmark = pytest.mark.django_db

TINY = {"stf_count": 3, "stf.size_bytes": 2000, "stf.tf_count": 2}


@pytest.fixture
def ann() -> Agent:
    """An operator."""
    a_user("ann", "operator")
    return Agent("ann")


def act(who: Agent, run: Run, action: str, *, status: int = 202, **says: Any) -> Any:
    """What an action on the run is answered, with this status."""
    return who.post(f"runs/{run.run_number}/{action}/", says, status=status)


def test_a_run_is_started_as_on_the_bus(ann: Agent) -> None:
    answer = ann.ask("POST", "runs/start/", {"workflow": "fast", "parameters": TINY})
    said: Any = answer.json()  # type: ignore[attr-defined]

    assert answer.status_code == 202
    assert answer["Location"].endswith(f"/api/runs/{said['run_number']}/")
    assert (said["lifecycle"], said["requested_by"], said["workflow"]) == ("requested", "ann", "fast")
    assert said["parameters"]["stf"]["size_bytes"] == 2000
    run = Run.objects.get()
    entry = run.journal.get()
    assert (entry.kind, entry.actor, entry.payload["params"]) == ("run_workflow", "ann", run.parameters)


def test_a_start_that_is_sent_again_is_one_run(ann: Agent) -> None:
    said = {"workflow": "fast", "parameters": TINY}
    first, again = (ann.post("runs/start/", said, status=202, Idempotency_Key="k1") for _ in range(2))

    assert first == again
    assert Run.objects.count() == 1


@pytest.mark.parametrize(
    ("said", "field", "key", "words"),
    [
        ({}, "workflow", "", "required"),
        ({"workflow": "no_such"}, "workflow", "", "there are"),
        ({"workflow": "../pyproject"}, "workflow", "", "unknown"),
        ({"workflow": "fast", "namespace": "a/b"}, "namespace", "", ""),
        ({"workflow": "fast", "namespace": "torre"}, "namespace", "", "SWF_NAMESPACES"),
        ({"workflow": "fast", "params": {}}, "params", "", "is no field"),
        (
            {"workflow": "fast", "parameters": {"stf_count": 0}},
            "parameters",
            "daq_state_machine.stf_count",
            "",
        ),
        ({"workflow": "fast", "parameters": {"stf.size": 1}}, "parameters", "stf.size", "did you mean"),
        (
            {"workflow": "fast", "parameters": {"size_bytes": 1}},
            "parameters",
            "stf.size_bytes",
            "raise stf.size_bytes",
        ),
        (
            {"workflow": "fast", "parameters": {"from_dir": "/no/such"}},
            "parameters",
            "stf.from_dir",
            "cannot be read",
        ),
    ],
)
def test_what_is_wrong_is_named(ann: Agent, said: dict[str, Any], field: str, key: str, words: str) -> None:
    problem = ann.post("runs/start/", said, status=400)

    why = problem["errors"][field]
    assert words in str(why[key] if key else why)
    assert not Run.objects.exists()


def test_who_starts_a_run_acts_in_its_namespace(settings: Any) -> None:
    settings.SWF_NAMESPACES = ["bobs"]
    a_user("bob", "operator", within="bobs")
    bob = Agent("bob")

    assert "bob acts in bobs" in bob.post("runs/start/", {"workflow": "fast"}, status=403)["detail"]
    said = {"workflow": "fast", "namespace": "bobs", "parameters": TINY}
    assert bob.post("runs/start/", said, status=202)["namespace"] == "bobs"


def test_a_token_of_a_namespace_starts_runs_there(ann: Agent, settings: Any) -> None:
    settings.SWF_NAMESPACES = ["theirs"]
    space = Namespace.objects.create(name="theirs")
    user = User.objects.get(username="ann")
    secret = issue_token(user, by="tester", name="tests", namespace=space).secret
    bound = {"Authorization": f"Token {secret}"}
    statuses = [
        ann.ask("POST", "runs/start/", {"workflow": "fast", "namespace": name}, **bound).status_code
        for name in ("theirs", "local")
    ]

    assert statuses == [202, 403]


def test_agents_do_not_start_or_stop_runs(agent: Agent) -> None:
    agent.post("runs/start/", {"workflow": "fast"}, status=403)
    act(agent, a_run(), "stop", status=403)


@pytest.mark.parametrize("wish", ["pause", "resume", "stop", "abort"])
def test_the_daq_is_told_who_wants_what_and_why(ann: Agent, wish: str) -> None:
    run = a_running_run()

    said = act(ann, run, wish, reason="beam is unstable")

    assert (said["run_number"], said["lifecycle"]) == (run.run_number, "running")
    entry = run.journal.order_by("-pk")[0]
    assert (entry.kind, entry.actor) == (f"{wish}_workflow", "ann")
    assert entry.payload == {"reason": "beam is unstable", "requested_by": "ann"}


@pytest.mark.parametrize("wish", ["pause", "resume", "stop", "abort"])
def test_a_run_that_has_ended_is_told_nothing(ann: Agent, wish: str) -> None:
    run = ended(a_running_run(), count=0)
    before = kinds(run)

    problem = act(ann, run, wish, status=409)

    assert f"run {run.run_number} is ended" in problem["detail"]
    assert kinds(run) == before


@pytest.mark.parametrize("wish", ["pause", "resume", "stop", "abort"])
def test_a_run_of_another_daq_is_not_told_from_here(ann: Agent, wish: str) -> None:
    run, _ = announce_run(200001, by="other")
    before = kinds(run)

    problem = act(ann, run, wish, status=409)

    assert "run 200001 is one of another DAQ" in problem["detail"]
    assert kinds(run) == before


def test_a_misspelled_reason_is_no_reason(ann: Agent) -> None:
    assert errors(act(ann, a_running_run(), "pause", status=400, raeson="beam")) == {"raeson"}


@pytest.mark.parametrize("action", ["pause", "re-evaluate", "force-close"])
def test_there_must_be_such_a_run(ann: Agent, action: str) -> None:
    ann.post(f"runs/7/{action}/", {"reason": "test"}, status=404)


def test_what_failed_is_tried_again(ann: Agent, exit_buffer: Path) -> None:
    run = a_running_run()
    [stf] = registered(an_stf(run))
    change_replicas([stf], "failed", reason="no space left")  # type: ignore[arg-type]

    act(ann, run, "re-evaluate", reason="there is space again")

    entry = run.journal.get(kind="run_retried")
    assert (entry.actor, entry.payload["copies"]) == ("ann", 2)
    assert entry.payload["reason"] == "there is space again"


def test_a_run_that_has_become_whole_is_closed_at_once(ann: Agent, exit_buffer: Path) -> None:
    run = a_running_run()
    verified(an_stf(run))
    ended(run, count=1)

    said = act(ann, run, "re-evaluate")

    assert (said["lifecycle"], kinds(run, "run_closed")) == ("closed", ["run_closed"])
    assert "is closed" in act(ann, run, "re-evaluate", status=409)["detail"]


def test_a_close_by_force_needs_a_reason_and_an_end(ann: Agent) -> None:
    run = a_running_run()

    assert errors(act(ann, run, "force-close", status=400)) == {"reason"}
    assert "stop it first" in act(ann, run, "force-close", status=409, reason="lost")["detail"]

    ended(run, count=2)
    said = act(ann, run, "force-close", reason="the disk is lost")
    assert (said["lifecycle"], said["close_forced_by"]) == ("closed", "ann")
    assert said["close_forced_reason"] == "the disk is lost"
    entry = run.journal.get(kind="run_closed")
    assert len(entry.payload["missing"]) == 2
