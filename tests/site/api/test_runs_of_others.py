"""Runs of another DAQ over REST: announced, followed through the table of core states, ended."""

from __future__ import annotations

from typing import Any

import pytest

from apps.runs.models import JournalEntry, Run
from tests.factories import a_running_run, kinds
from tests.parallel import in_parallel
from tests.queries import queries_of
from tests.rest import Agent, errors

pytestmark = pytest.mark.django_db

NUMBER = 102827
ANNOUNCED = {
    "run_number": NUMBER,
    "start_time": "2026-08-01T10:00:00.123456",
    "run_conditions": {"beam_energy": "5 GeV"},
}
# What the existing workflow runner writes before a run.
RUN_STATE = {
    "run_number": NUMBER,
    "phase": "initializing",
    "state": "imminent",
    "substate": "preparing",
    "target_worker_count": 30,
    "active_worker_count": 0,
    "stf_samples_received": 0,
    "slices_created": 0,
    "slices_queued": 0,
    "slices_processing": 0,
    "slices_completed": 0,
    "slices_failed": 0,
    "state_changed_at": "2026-08-01T10:00:00",
    "metadata": {"execution_id": "stf_datataking-ann-0049", "slices_per_sample": 15},
}


def the_run() -> Run:
    return Run.objects.get(run_number=NUMBER)


@pytest.fixture
def announced(agent: Agent) -> Agent:
    """A run has been announced."""
    agent.post("runs/", ANNOUNCED)
    return agent


def test_a_run_is_taken_over_once(agent: Agent) -> None:
    first = agent.post("runs/", ANNOUNCED)
    again = agent.post("runs/", {**ANNOUNCED, "run_number": str(NUMBER)}, status=200)

    assert (first["run_id"], first["run_number"], first["lifecycle"]) == (NUMBER, NUMBER, "imminent")
    assert first["run_conditions"] == again["run_conditions"] == {"beam_energy": "5 GeV"}
    assert kinds(the_run()) == ["run_taken_over", "core_state", "run_imminent"]
    (listed,) = agent.get(f"runs/?run_number={NUMBER}")["results"]
    assert listed["run_id"] == NUMBER
    assert agent.get("runs/?run_number=1")["results"] == []


def test_what_is_said_over_rest_is_not_said_again_on_the_bus(announced: Agent) -> None:
    """The agents that post it have it from the bus."""
    assert JournalEntry.objects.get(kind="run_imminent").heard is True


@pytest.mark.django_db(transaction=True)
def test_a_run_that_is_announced_by_many_at_once_is_one() -> None:
    answers: Any = in_parallel(
        *(lambda one=one: one.ask("POST", "runs/", ANNOUNCED) for one in [Agent() for _ in range(4)])
    )

    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert {answer.json()["run_id"] for answer in answers} == {NUMBER}


@pytest.mark.parametrize(
    ("field", "value"),
    [("run_number", "x"), ("run_number", -1), ("run_conditions", []), ("start_time", "soon")],
)
def test_a_wrong_value_names_its_field(agent: Agent, field: str, value: Any) -> None:
    assert errors(agent.post("runs/", {**ANNOUNCED, field: value}, status=400)) == {field}


def test_a_run_is_ended_with_the_stfs_that_are_known(announced: Agent) -> None:
    announced.patch(f"run-states/{NUMBER}/", {"state": "running", "substate": "physics"})
    ended = announced.patch(f"runs/{NUMBER}/", {"end_time": "2026-08-01T11:00:00"})
    again = announced.patch(f"runs/{NUMBER}/", {"end_time": "2026-08-01T11:00:00"})

    assert (ended["lifecycle"], ended["expected_stf_count"]) == ("ended", 0)
    assert again == ended
    corrected = announced.patch(f"runs/{NUMBER}/", {"total_stf_files": 3})
    assert corrected["expected_stf_count"] == 3
    assert kinds(the_run(), "end_run") == ["end_run"] * 2


def test_a_run_of_our_own_daq_is_not_ended_by_others(agent: Agent) -> None:
    ours = a_running_run()

    problem = agent.patch(f"runs/{ours.run_number}/", {"end_time": "2026-08-01T11:00:00"}, status=409)
    assert errors(problem) == {"end_time"}
    problem = agent.patch(f"run-states/{ours.run_number}/", {"substate": "standby"}, status=409)
    assert errors(problem) == {"state"}


def test_conditions_are_changed_by_who_has_seen_them(announced: Agent) -> None:
    path, said = f"runs/{NUMBER}/", {"run_conditions": {"beam_energy": "10 GeV"}}
    seen = announced.ask("GET", path)["ETag"]

    assert "If-Match" in announced.patch(path, said, status=428)["detail"]
    changed = announced.ask("PATCH", path, said, If_Match=seen)
    announced.patch(path, {"run_conditions": {}}, status=412, If_Match=seen)

    assert changed.status_code == 200
    assert the_run().run_conditions == {"beam_energy": "10 GeV"}
    announced.patch(path, {"run_conditions": {}}, If_Match=f'"other", {changed["ETag"]}')
    assert kinds(the_run(), "run_conditions_changed") == ["run_conditions_changed"] * 2


@pytest.mark.django_db(transaction=True)
def test_of_two_who_have_seen_the_same_one_is_told() -> None:
    first = Agent()
    first.post("runs/", ANNOUNCED)
    seen = first.ask("GET", f"runs/{NUMBER}/")["ETag"]
    answers: Any = in_parallel(
        *(
            lambda one=one: one.ask(
                "PATCH", f"runs/{NUMBER}/", {"run_conditions": {"by": id(one)}}, If_Match=seen
            )
            for one in [Agent(f"agent-{number}") for number in range(3)]
        )
    )

    assert sorted(answer.status_code for answer in answers) == [200, 412, 412]


def test_the_state_of_a_run_is_followed_in_the_words_of_the_existing_agents(agent: Agent) -> None:
    first = agent.post("run-states/", RUN_STATE)
    agent.post("run-states/", RUN_STATE, status=200)
    agent.post("runs/", ANNOUNCED, status=200)
    told = [
        agent.patch(f"run-states/{NUMBER}/", {**said, "state_changed_at": "2026-08-01T10:00:00"})
        for said in (
            {"phase": "physics", "state": "running", "substate": "physics"},
            {"substate": "standby"},
            {"substate": "physics"},
            {"stf_samples_received": 1, "slices_created": 15, "slices_queued": 15},
            {"phase": "completed", "state": "ended", "substate": None},
        )
    ]

    assert (first["phase"], first["state"], first["substate"]) == ("imminent", "beam", "not_ready")
    assert first["metadata"]["execution_id"] == "stf_datataking-ann-0049"
    assert [(one["phase"], one["substate"]) for one in told] == [
        ("physics", "physics"),
        ("standby", "standby"),
        ("physics", "physics"),
        ("physics", "physics"),
        ("physics", "physics"),
    ]
    # Counts are the server's, and only who knows the number of STFs ends a run.
    assert (told[-1]["slices_created"], told[-1]["stf_samples_received"]) == (0, 0)
    assert kinds(the_run(), "start_run", "pause_run", "resume_run", "end_run") == [
        "start_run",
        "pause_run",
        "resume_run",
    ]


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"state": "flying"}, "state"),
        ({"state": "beam", "substate": "physics"}, "substate"),
        ({"substate": "standby"}, "substate"),
        ({"state": "run", "substate": "standby"}, "state"),
    ],
)
def test_a_state_that_cannot_be_is_refused(announced: Agent, said: dict[str, str], field: str) -> None:
    problem = announced.patch(f"run-states/{NUMBER}/", said, status=409)

    assert errors(problem) == {field}
    assert the_run().state == "beam"


def test_a_refused_transition_is_journalled(announced: Agent) -> None:
    announced.patch(f"run-states/{NUMBER}/", {"state": "running"})
    problem = announced.patch(f"run-states/{NUMBER}/", {"state": "calib"}, status=409)

    assert "it leads to" in problem["detail"]
    assert kinds(the_run(), "transition_refused") == ["transition_refused"]


def test_a_state_is_changed_by_who_has_seen_it(announced: Agent) -> None:
    path = f"run-states/{NUMBER}/"
    seen = announced.ask("GET", path)["ETag"]

    announced.patch(path, {"state": "running"}, If_Match=seen)
    announced.patch(path, {"substate": "standby"}, status=412, If_Match=seen)
    assert the_run().substate == "physics"


def test_run_states_take_a_constant_number_of_queries(announced: Agent) -> None:
    few = queries_of(lambda: announced.client.get("/api/run-states/"))
    for number in range(3):
        announced.post("run-states/", {"run_number": number})

    assert queries_of(lambda: announced.client.get("/api/run-states/")) == few
    assert len(announced.get("run-states/?state=beam")["results"]) == 4


def test_runs_that_are_not_there(agent: Agent) -> None:
    agent.patch("runs/7/", {"end_time": "2026-08-01T11:00:00"}, status=404)
    agent.patch("run-states/7/", {"state": "run"}, status=404)
