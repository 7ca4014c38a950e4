"""What was, over REST: of a run, of the system, and what changed in between; within the namespace of who asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.agents.bus.relay import sequence
from apps.agents.services import agent_exited, beat, issue_token
from apps.runs import services as runs
from apps.runs.choices import RunLifecycle
from apps.runs.models import Namespace, Run
from apps.runs.selectors import newest_position
from tests.factories import TO_PHYSICS, a_run, a_running_run, a_workflow, an_stf, ended, verified
from tests.people import a_user
from tests.queries import queries_of
from tests.rest import errors

pytestmark = pytest.mark.django_db


def get(path: str, status: int = 200, **query: Any) -> Any:
    """What is answered to anybody."""
    answer = Client().get(f"/api/{path}", query)
    assert answer.status_code == status, answer.content
    return answer.json()


def now() -> str:
    """An instant between what was and what comes."""
    return timezone.now().isoformat()


def begin_of(run: Run) -> str:
    """The instant of a run's first entry, as an address takes it."""
    return run.journal.order_by("pk")[0].occurred_at.isoformat().replace("+00:00", "Z")


def settled() -> Run:
    """A run that is closed, without any STF."""
    run = ended(a_running_run(), count=0)
    runs.close(run.run_number, verdict=RunLifecycle.CLOSED, proof={})
    return run


def an_agent(name: str, waiting_for: str = "") -> None:
    """A heartbeat."""
    beat(name, agent_type="data", started_at=timezone.now(), waiting_for=waiting_for, counters={})


def test_a_run_is_shown_as_it_was(exit_buffer: Path) -> None:
    run = a_run()
    path = f"runs/{run.run_number}/state/"
    requested = now()
    for pair in TO_PHYSICS:
        runs.advance(run.run_number, pair)
    running = now()
    verified(an_stf(run, 1), an_stf(run, 2))
    ended(run, count=2)

    assert get(path, at=requested)["lifecycle"] == "requested"
    then, today = get(path, at=running), get(path)
    assert (then["state"], then["substate"], then["counts"]["registered"]) == ("run", "physics", 0)
    assert (then["last_event"]["kind"], then["expected_stf_count"]) == ("start_run", None)
    assert (today["lifecycle"], today["expected_stf_count"]) == ("ended", 2)
    assert today["counts"]["verified"] == {"E1_BNL": 2, "E1_JLAB": 2}
    assert today["entries"] == run.journal.count()


def test_a_position_is_a_moment_too() -> None:
    run = a_run()
    sequence()
    position = newest_position()
    for pair in TO_PHYSICS:
        runs.advance(run.run_number, pair)
    sequence()

    answers = [get(f"runs/{run.run_number}/state/", position=position + nth) for nth in (0, len(TO_PHYSICS))]

    assert [answer["lifecycle"] for answer in answers] == ["requested", "running"]
    assert [answer["position"] for answer in answers] == [position, position + len(TO_PHYSICS)]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"at": "yesterday"}, "at"),
        ({"at": "2999-01-01T00:00:00Z"}, "at"),
        ({"at": "2001-01-01T00:00:00Z"}, "at"),
        ({"at": ""}, "at"),
        ({"position": 0}, "position"),
        ({"position": 10**9}, "position"),
        ({"position": 10**30}, "position"),
        ({"position": 1, "at": "BEFORE"}, "position"),
        ({"position": 1}, "position"),
        ({"at": "BEFORE"}, "at"),
        ({"when": "2026-01-01T00:00:00Z"}, "when"),
    ],
)
def test_a_moment_that_cannot_be_told_is_refused(query: dict[str, Any], field: str) -> None:
    a_run()
    sequence()
    before = now()
    run = a_run()
    asked = {name: before if value == "BEFORE" else value for name, value in query.items()}

    problem = get(f"runs/{run.run_number}/state/", status=400, **asked)

    assert errors(problem) == {field}


def test_a_run_must_be_known() -> None:
    get("runs/7/state/", status=404)


def test_the_system_is_shown_as_it_was() -> None:
    old, lasting = settled(), a_running_run()
    an_agent("data-1")
    then = now()
    an_agent("data-1", waiting_for="Rucio is away")
    waiting = now()
    agent_exited("data-1")
    ended(lasting, count=0)
    runs.close(lasting.run_number, verdict=RunLifecycle.CLOSED, proof={})
    new = a_run()

    assert [row["run_number"] for row in get("state/at/", at=then)["runs"]] == [lasting.run_number]
    assert [row["run_number"] for row in get("state/at/")["runs"]] == [new.run_number]
    agents = [get("state/at/", at=at)["agents"][0] for at in (then, waiting, now())]
    assert [agent["state"] for agent in agents] == ["up", "waiting", "exited"]
    assert agents[1]["reason"] == "Rucio is away"
    assert old.run_number < lasting.run_number


def test_a_verdict_that_was_taken_back_is_seen() -> None:
    """The run was settled, then open again, then settled: `closed_at` of the row is the last one only."""
    run = settled()
    closed = now()
    ended(run, count=1)
    reopened = now()
    runs.close(run.run_number, verdict=RunLifecycle.CLOSED, proof={})

    shown = [
        [row["lifecycle"] for row in get("state/at/", at=at)["runs"]] for at in (closed, reopened, now())
    ]
    assert shown == [[], ["incomplete"], []]


def test_what_has_changed_is_told_by_run() -> None:
    quiet, run = a_run(), a_run()
    since = now()
    for pair in TO_PHYSICS[:2]:
        runs.advance(run.run_number, pair)
    an_agent("data-1")
    until = now()
    runs.advance(run.run_number, TO_PHYSICS[2])

    answer = get("state/changes/", since=since, until=until)

    [changes] = answer["runs"]
    assert (changes["run_number"], quiet.run_number) == (run.run_number, run.run_number - 1)
    assert changes["changed"] == {
        "lifecycle": {"before": "requested", "after": "imminent"},
        "state": {"before": "off", "after": "beam"},
        "substate": {"before": "", "after": "not_ready"},
    }
    assert changes["entries"] == {"core_state": 1, "run_imminent": 1}
    assert answer["other_entries"] == {"agent_started": 1}


def test_positions_bound_changes_too() -> None:
    a_run()
    sequence()
    first = newest_position()
    run = a_run()
    sequence()

    [changes] = get("state/changes/", since=first)["runs"]

    assert (changes["run_number"], changes["entries"]) == (run.run_number, {"run_workflow": 1})
    assert changes["changed"]["lifecycle"] == {"before": None, "after": "requested"}
    assert get("state/changes/", since=first, until=first)["runs"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "since"),
        ({"since": "soon"}, "since"),
        ({"since": "2001-01-01T00:00:00Z"}, "since"),
        ({"since": 0}, "since"),
        ({"since": 1, "until": 99}, "until"),
        ({"since": 2, "until": 1}, "since"),
        ({"since": 1, "until": "NOW"}, "until"),
        ({"since": "NOW", "until": "EARLIER"}, "since"),
        ({"since": "NOW", "until": "2999-01-01T00:00:00Z"}, "until"),
        ({"since": 1, "til": 2}, "til"),
        ({"since": 1, "namespace": "nowhere"}, "namespace"),
    ],
)
def test_moments_that_make_no_sense_are_refused(query: dict[str, Any], field: str) -> None:
    run = a_running_run()
    sequence()
    # Two readings of the clock in a row may be the same.
    instants = {"EARLIER": begin_of(run), "NOW": now()}
    asked = {name: instants.get(str(value), value) for name, value in query.items()}

    assert errors(get("state/changes/", status=400, **asked)) == {field}


def test_a_token_of_a_namespace_is_told_of_that() -> None:
    ours = a_run()
    since = begin_of(ours)
    ours, theirs = (
        runs.request_run(a_workflow(), namespace=name, requested_by="x") for name in ("test", "b")
    )
    an_agent("data-1")
    secret = issue_token(a_user("ann", "viewer"), by="tester", name="tests", namespace=ours.namespace).secret
    headers = {"Authorization": f"Bearer {secret}"}

    def asked(path: str) -> Any:
        return Client().get(f"/api/{path}", headers=headers)

    answer = asked("state/at/").json()
    assert {row["namespace"] for row in answer["runs"]} == {"test"}
    assert answer["agents"] == []
    assert asked(f"runs/{theirs.run_number}/state/").status_code == 403
    assert asked(f"runs/{ours.run_number}/state/").status_code == 200
    changes = asked(f"state/changes/?since={since}").json()
    assert [row["run_number"] for row in changes["runs"]] == [ours.run_number]
    assert changes["other_entries"] == {"token_issued": 1}


def test_a_namespace_can_be_asked_for() -> None:
    a_run()
    since = now()
    a_run()
    Namespace.objects.create(name="empty")

    assert get("state/at/", namespace="empty")["runs"] == []
    assert len(get("state/at/", namespace="test")["runs"]) == 2
    assert get("state/changes/", namespace="empty", since=since)["runs"] == []


def test_the_newest_runs_are_shown_and_the_others_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.agents.selectors.past.MOST_RUNS", 2)
    first = a_run()
    since = begin_of(first)
    numbers = [a_run().run_number for _ in range(3)]

    for answer in (get("state/at/"), get("state/changes/", since=since)):
        assert [row["run_number"] for row in answer["runs"]] == [numbers[2], numbers[1]]
    assert get("state/at/")["left_out"] == 2
    assert get("state/changes/", since=since)["left_out"] == 1


def test_more_runs_take_no_more_queries() -> None:
    first = a_run()
    since = begin_of(first)
    a_running_run()
    paths = ["/api/state/at/", f"/api/state/changes/?since={since}"]

    def queries() -> list[int]:
        return [queries_of(lambda path=path: Client().get(path)) for path in paths]

    few = queries()
    for _ in range(3):
        a_running_run()

    assert queries() == few
