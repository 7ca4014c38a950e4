"""The core state of a run, as the DAQ reports it, and what it means for the lifecycle."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from .. import journal
from ..choices import LIFECYCLE_MOVES, LIFECYCLE_OF_MESSAGE, TAKING_DATA, RunLifecycle
from ..core_states import CoreState, CoreSubstate, Pair, Transition, transition, why_refused
from ..errors import TransitionRefused
from ..models import Run
from .rows import locked_run, set_lifecycle


@transaction.atomic
def advance(run_number: int, after: Pair, *, message: dict[str, Any] | None = None) -> Run:
    """Move the core state of a run, and its lifecycle where the change has a name on the bus.

    A change that is in force already is no change: a DAQ that was killed between commit and next step may repeat it.

    Raises:
        TransitionRefused: the table knows no such change. The caller records it, when its own transaction is rolled back.
        NotFound: no such run.
    """
    run = locked_run(run_number)
    before = (run.state, run.substate)
    if before == after:
        return run
    row = transition(before, after)
    lifecycle = LIFECYCLE_OF_MESSAGE.get(row.name) if row and row.name else None
    refusal = why_refused(before, after) or _lifecycle_refusal(run, lifecycle)
    if row is None or refusal:
        raise TransitionRefused(f"run {run_number}: {refusal}")
    _apply(run, row, lifecycle, message or {})
    return run


def end_run(
    run_number: int,
    *,
    total_stf_files: int,
    reason: str = "",
    aborted: bool = False,
) -> Run:
    """End datataking: the run leaves `run`, and the number of STFs that were made is known from now on.

    Repeated with another count it is a correction: accepted at any time, and the closeout is asked again.
    """
    with transaction.atomic():
        run = locked_run(run_number)
        first_time = run.lifecycle in TAKING_DATA
        if not first_time and run.expected_stf_count == total_stf_files:
            return run
        payload: dict[str, Any] = {"total_stf_files": total_stf_files, "reason": reason, "aborted": aborted}
        if first_time:
            _end(run, reason if aborted else "")
        else:
            payload["corrects"] = run.expected_stf_count
            if run.lifecycle in {RunLifecycle.CLOSED, RunLifecycle.ABORTED}:
                set_lifecycle(run, RunLifecycle.INCOMPLETE)
                run.closed_at = None
        run.expected_stf_count = total_stf_files
        run.save()
        payload |= {"state": run.state, "substate": run.substate}
        journal.record(journal.Change("end_run", run=run, payload=payload))
        return run


def record_refusal(run: Run, facet: str, why: str) -> None:
    """Put a refused change into the journal, where people look for it. Belongs outside the transaction it rolled back."""
    with transaction.atomic():
        journal.record(journal.Change("transition_refused", run=run, payload={"facet": facet, "reason": why}))


def _lifecycle_refusal(run: Run, lifecycle: RunLifecycle | None) -> str:
    if lifecycle == RunLifecycle.ENDED:
        return "a run is ended by end_run, which brings the number of its STFs"
    if lifecycle is None or lifecycle == run.lifecycle or lifecycle in LIFECYCLE_MOVES[run.lifecycle_choice]:
        return ""
    return f"the run is {run.lifecycle}, it cannot become {lifecycle}"


def _apply(run: Run, row: Transition, lifecycle: RunLifecycle | None, message: dict[str, Any]) -> None:
    state, substate = row.after
    run.state, run.substate, run.state_changed_at = str(state), str(substate), timezone.now()
    if lifecycle and lifecycle != run.lifecycle:
        set_lifecycle(run, lifecycle)
        if lifecycle == RunLifecycle.RUNNING and run.start_time is None:
            run.start_time = run.state_changed_at
    run.save()
    payload = {"state": run.state, "substate": run.substate, **message}
    journal.record(journal.Change(row.name or "core_state", run=run, payload=payload))


def _end(run: Run, abort_reason: str) -> None:
    if run.state == CoreState.RUN:
        run.state, run.substate = CoreState.BEAM.value, CoreSubstate.NOT_READY.value
        run.state_changed_at = timezone.now()
    set_lifecycle(run, RunLifecycle.ENDED)
    run.end_time = timezone.now()
    run.abort_reason = abort_reason
