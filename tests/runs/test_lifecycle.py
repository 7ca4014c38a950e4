"""The lifecycle of a run: what is allowed, what is refused and where that is written, by the services and by PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from apps.runs import journal, services
from apps.runs.choices import LIFECYCLE_MOVES, RunLifecycle
from apps.runs.core_states import LEGAL_PAIRS, CoreState, CoreSubstate, is_legal
from apps.runs.errors import DomainError, NotFound, TransitionRefused
from apps.runs.models import Run
from tests.factories import STANDBY, TO_PHYSICS, a_run, a_running_run, ended, kinds

pytestmark = pytest.mark.django_db

LATER = datetime(2100, 1, 1, tzinfo=UTC)
PROOF: dict[str, Any] = {"expected": 3, "registered": 3, "verified": {}, "missing": []}


def close(run: Run, verdict: RunLifecycle = RunLifecycle.CLOSED) -> bool:
    return services.close(run.run_number, verdict=verdict, proof=PROOF)


def test_each_message_of_the_daq_moves_the_lifecycle_on() -> None:
    run = a_run()
    seen = []
    for pair in (*TO_PHYSICS, STANDBY, ("run", "physics")):
        seen.append(services.advance(run.run_number, pair).lifecycle)

    assert seen == ["requested", "imminent", "imminent", "running", "paused", "running"]
    assert kinds(run) == [
        "run_workflow",
        "core_state",
        "run_imminent",
        "core_state",
        "start_run",
        "pause_run",
        "resume_run",
    ]


def test_a_run_starts_when_it_first_takes_data() -> None:
    run = a_running_run()
    started = run.start_time
    for pair in (STANDBY, ("run", "physics")):
        run = services.advance(run.run_number, pair)

    assert started is not None
    assert run.start_time == started


def test_a_state_that_is_in_force_already_is_no_change() -> None:
    run = a_running_run()
    before = kinds(run)
    services.advance(run.run_number, ("run", "physics"))

    assert kinds(run) == before


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (("run", "physics"), "off does not lead to run/physics; it leads to no_beam/not_ready"),
        (("run", "ready"), "run/ready is not a legal pair"),
        (("cosmics", "physics"), "cosmics/physics is not a legal pair"),
    ],
)
def test_a_refused_core_state_changes_nothing(after: tuple[str, str], why: str) -> None:
    run = a_run()
    before = kinds(run)
    with pytest.raises(TransitionRefused, match=f"^run {run.run_number}: {why}"):
        services.advance(run.run_number, after)

    assert kinds(run) == before
    run.refresh_from_db()
    assert (run.state, run.lifecycle) == ("off", "requested")


def test_a_run_that_has_ended_does_not_begin_again() -> None:
    run = ended(a_running_run(), count=3)
    services.advance(run.run_number, ("beam", "ready"))

    with pytest.raises(TransitionRefused, match="the run is ended, it cannot become running"):
        services.advance(run.run_number, ("run", "physics"))


@pytest.mark.parametrize("last", [(), (STANDBY,)])
def test_the_core_state_alone_does_not_end_a_run(last: tuple[tuple[str, str], ...]) -> None:
    run = a_running_run()
    for pair in last:
        services.advance(run.run_number, pair)

    with pytest.raises(TransitionRefused, match="is ended by end_run, which brings the number of its STFs"):
        services.advance(run.run_number, ("beam", "not_ready"))


@pytest.mark.parametrize("steps", range(len(TO_PHYSICS) + 1))
def test_a_run_can_be_ended_at_every_point(steps: int) -> None:
    run = a_run()
    for pair in TO_PHYSICS[:steps]:
        services.advance(run.run_number, pair)
    run = ended(run, count=0)

    assert run.lifecycle == RunLifecycle.ENDED
    assert run.state != CoreState.RUN
    assert run.end_time is not None


def test_the_same_end_run_again_changes_nothing() -> None:
    run = ended(a_running_run(), count=3)
    again = ended(run, count=3, reason="said twice")

    assert again.end_time == run.end_time
    assert kinds(run, "end_run") == ["end_run"]


def test_end_run_keeps_the_reason_of_an_abort() -> None:
    assert ended(a_running_run(), count=3, reason="magnet trip", aborted=True).abort_reason == "magnet trip"
    assert ended(a_running_run(), count=3, reason="shift is over").abort_reason == ""


@pytest.mark.parametrize("verdict", [RunLifecycle.CLOSED, RunLifecycle.ABORTED])
def test_a_corrected_count_opens_a_settled_run_again(verdict: RunLifecycle) -> None:
    run = ended(a_running_run(), count=3)
    close(run, verdict)
    run = ended(run, count=4)

    assert (run.lifecycle, run.expected_stf_count, run.closed_at) == ("incomplete", 4, None)
    assert run.journal.latest("id").payload["corrects"] == 3


def test_a_corrected_count_of_an_open_run_leaves_its_lifecycle() -> None:
    run = ended(a_running_run(), count=3)
    assert ended(run, count=4).lifecycle == "ended"


@pytest.mark.parametrize("lifecycle", RunLifecycle)
@pytest.mark.parametrize("verdict", [RunLifecycle.CLOSED, RunLifecycle.INCOMPLETE, RunLifecycle.ABORTED])
def test_a_verdict_is_taken_only_where_the_table_has_the_move(
    lifecycle: RunLifecycle, verdict: RunLifecycle
) -> None:
    run = at[lifecycle]()
    allowed = verdict in LIFECYCLE_MOVES[lifecycle]
    before = kinds(run)

    assert close(run, verdict) is allowed
    run.refresh_from_db()
    assert run.lifecycle == (verdict if allowed else lifecycle)
    assert (run.closed_at is not None) is (run.lifecycle in {"closed", "aborted"})
    assert kinds(run)[len(before) :] == (["run_closed"] if allowed else [])


@pytest.mark.parametrize(("by", "reason"), [("", "lost"), ("ann", ""), (" ", "lost"), ("ann", "\n")])
def test_a_forced_close_needs_name_and_reason(by: str, reason: str) -> None:
    run = ended(a_running_run(), count=3)

    with pytest.raises(DomainError, match=r"needs a name .* and a reason"):
        services.force_close(run.run_number, by=by, reason=reason, proof=PROOF)


@pytest.mark.parametrize("lifecycle", RunLifecycle)
def test_only_a_run_that_waits_for_its_closeout_is_closed_by_force(lifecycle: RunLifecycle) -> None:
    run = at[lifecycle]()
    if lifecycle in {RunLifecycle.ENDED, RunLifecycle.INCOMPLETE}:
        run = services.force_close(run.run_number, by="ann", reason="disk is gone", proof=PROOF)
        entry = run.journal.latest("id")
        assert run.lifecycle == "closed"
        assert (run.close_forced_by, run.close_forced_reason) == ("ann", "disk is gone")
        assert (entry.kind, entry.actor, entry.payload["forced_by"]) == ("run_closed", "ann", "ann")
        return
    with pytest.raises(DomainError, match=f"is {lifecycle}: (there is nothing to force|stop it first)"):
        services.force_close(run.run_number, by="ann", reason="disk is gone", proof=PROOF)


@pytest.mark.parametrize("lifecycle", RunLifecycle)
@pytest.mark.parametrize("control", ["pause", "resume", "stop", "abort"])
def test_only_a_run_that_takes_data_can_be_controlled(
    lifecycle: RunLifecycle, control: services.Control
) -> None:
    run = at[lifecycle]()
    if lifecycle in {"requested", "imminent", "running", "paused"}:
        services.control_run(run.run_number, control, by="ann", reason="beam is bad")
        entry = run.journal.latest("id")
        assert (entry.kind, entry.actor) == (f"{control}_workflow", "ann")
        assert entry.payload == {"reason": "beam is bad", "requested_by": "ann"}
        return
    with pytest.raises(DomainError, match=f"run {run.run_number} is {lifecycle}"):
        services.control_run(run.run_number, control, by="ann")


@pytest.mark.parametrize(
    "ask",
    [
        lambda: services.advance(7, ("run", "physics")),
        lambda: services.end_run(7, total_stf_files=0),
        lambda: services.force_close(7, by="ann", reason="why", proof={}),
        lambda: services.control_run(7, "stop", by="ann"),
    ],
)
def test_an_unknown_run_is_said(ask: Callable[[], object]) -> None:
    with pytest.raises(NotFound, match="there is no run 7"):
        ask()


ALL_PAIRS = [(str(state), str(substate)) for state in CoreState for substate in CoreSubstate]


def update(run: Run, **fields: Any) -> None:
    """Go round the services."""
    with transaction.atomic():
        Run.objects.filter(pk=run.pk).update(**fields)


def test_postgresql_knows_the_legal_pairs() -> None:
    run = a_run()
    for state, substate in ALL_PAIRS:
        if is_legal(state, substate):
            update(run, state=state, substate=substate)
            continue
        with pytest.raises(IntegrityError, match="run_core_state_legal"):
            update(run, state=state, substate=substate)
    assert {pair for pair in ALL_PAIRS if is_legal(*pair)} == {(str(a), str(b)) for a, b in LEGAL_PAIRS}


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"lifecycle": "lost", "expected_stf_count": 3, "end_time": LATER}, "run_lifecycle_known"),
        ({"lifecycle": "ended"}, "run_ended_with_count"),
        ({"lifecycle": "closed", "end_time": LATER}, "run_ended_with_count"),
        ({"lifecycle": "incomplete", "expected_stf_count": 3}, "run_ended_with_count"),
        ({"close_forced_by": "ann"}, "run_forced_with_name_and_reason"),
        ({"close_forced_reason": "lost"}, "run_forced_with_name_and_reason"),
        ({"end_time": datetime(2000, 1, 1, tzinfo=UTC)}, "run_ends_after_request"),
        ({"expected_stf_count": -1}, "expected_stf_count"),
    ],
)
def test_postgresql_refuses_what_no_service_would_write(fields: dict[str, Any], constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        update(a_run(), **fields)


def test_the_journal_names_who_acted() -> None:
    run = a_run()
    with journal.acting_as("daqsim"):
        services.advance(run.run_number, ("no_beam", "not_ready"))

    assert run.journal.latest("id").actor == "daqsim"


def _advanced(*pairs: tuple[str, str]) -> Run:
    run = a_run()
    for pair in pairs:
        services.advance(run.run_number, pair)
    run.refresh_from_db()
    return run


def _settled(verdict: RunLifecycle) -> Run:
    run = ended(a_running_run(), count=3)
    close(run, verdict)
    run.refresh_from_db()
    return run


# A run at every point of its lifecycle.
at: dict[RunLifecycle, Callable[[], Run]] = {
    RunLifecycle.REQUESTED: a_run,
    RunLifecycle.IMMINENT: lambda: _advanced(*TO_PHYSICS[:2]),
    RunLifecycle.RUNNING: a_running_run,
    RunLifecycle.PAUSED: lambda: _advanced(*TO_PHYSICS, STANDBY),
    RunLifecycle.ENDED: lambda: ended(a_running_run(), count=3),
    RunLifecycle.CLOSED: lambda: _settled(RunLifecycle.CLOSED),
    RunLifecycle.INCOMPLETE: lambda: _settled(RunLifecycle.INCOMPLETE),
    RunLifecycle.ABORTED: lambda: _settled(RunLifecycle.ABORTED),
}
