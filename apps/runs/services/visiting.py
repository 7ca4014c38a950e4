"""Runs of other DAQs as agents of the existing system tell of them over REST: announced, followed, described."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from .. import journal
from ..core_states import CoreState, Pair, is_legal, pair_name, way, why_refused
from ..errors import FieldRefused, TransitionRefused
from ..models import STATE_EVENT, JournalEntry, Run
from ..selectors import get_run
from .core_state import record_refusal
from .follow import external_workflow, follow_daq, take_over_run
from .rows import locked_run
from .saying import said_over_rest

_IMMINENT: Pair = (CoreState.BEAM, "not_ready")
# Words of the existing system's writers for core states.
_STATES = {"running": CoreState.RUN.value, "physics": CoreState.RUN.value}
# Words for pairs, and for an end, which the number of STFs makes and no word.
_PAIRS = {"imminent": _IMMINENT}
_ENDS = frozenset({"ended", "completed"})
# What goes without saying of a state.
_FIRST_SUBSTATE = {CoreState.OFF: "", CoreState.RUN: "physics"}
_SAID_OF_RUN = frozenset({"physics", "standby"})


def announce_run(
    run_number: int,
    *,
    by: str,
    namespace: str = "",
    execution_id: str = "",
    run_conditions: dict[str, Any] | None = None,
) -> tuple[Run, bool]:
    """The run of this number, known and imminent from now on; one that is known already is left as it is.

    Returns:
        The run, and whether it was not known before.
    """
    try:
        created = _announce(run_number, by, namespace, execution_id, run_conditions)
    except IntegrityError:
        created = False  # announced elsewhere at the same moment
    return get_run(run_number), created


def follow_words(
    run_number: int,
    *,
    state: str | None,
    substate: str | None,
    by: str,
    check: Callable[[], None] = lambda: None,
) -> Run:
    """Bring the core state to where an agent says it is, in its words; None is what it does not say.

    Args:
        check: raises if the run, which is locked then, is not to be changed.

    Raises:
        FieldRefused: there is no such state, no way leads there, or the run is one of this testbed's own DAQ.
        NotFound: there is no such run.
    """
    try:
        return _follow_words(run_number, state, substate, by, check)
    except TransitionRefused as refusal:
        run = get_run(run_number)
        with said_over_rest(by):
            record_refusal(run, "core_state", str(refusal))
        raise FieldRefused("substate" if state is None else "state", str(refusal)) from refusal


@transaction.atomic
def set_run_conditions(run_number: int, conditions: dict[str, Any], *, by: str) -> Run:
    """Describe the conditions of a run anew.

    Raises:
        NotFound: there is no such run.
    """
    run = locked_run(run_number)
    if run.run_conditions != conditions:
        run.run_conditions = conditions
        run.save(update_fields=["run_conditions"])
        with said_over_rest(by):
            payload = {"run_conditions": conditions}
            journal.record(journal.Change("run_conditions_changed", run=run, payload=payload))
    return run


@transaction.atomic
def note_state_event(
    event_type: str,
    *,
    by: str,
    run_number: int | None = None,
    state: str = "",
    substate: str = "",
    event_data: dict[str, Any] | None = None,
    occurred_at: datetime | None = None,
) -> JournalEntry:
    """Keep what an agent says has happened, in its words, as an entry of the journal. It changes no state; the run need not
    be known yet."""
    known = Run.objects.select_related("namespace")
    run = None if run_number is None else known.filter(run_number=run_number).first()
    payload = {"event_type": event_type, "state": state, "substate": substate, "event_data": event_data or {}}
    with said_over_rest(by):
        return journal.record(
            journal.Change(
                STATE_EVENT,
                run=run,
                subject=event_type,
                payload=payload if run else payload | {"run_number": run_number},
                occurred_at=occurred_at,
            )
        )


def is_visiting(run: Run) -> bool:
    """Whether the run is one of another DAQ, which it was taken over from."""
    execution = run.execution
    return bool(execution.declared_status) or (
        execution.workflow_definition.workflow_name == external_workflow().name
    )


@transaction.atomic
def _announce(
    run_number: int,
    by: str,
    namespace: str,
    execution_id: str,
    run_conditions: dict[str, Any] | None,
) -> bool:
    if Run.objects.filter(run_number=run_number).exists():
        return False
    with said_over_rest(by, "run_imminent"):
        take_over_run(
            run_number,
            external_workflow(),
            namespace=namespace or settings.SWF_NAMESPACE,
            daq=by,
            execution_id=execution_id,
            run_conditions=run_conditions,
        )
        follow_daq(run_number, _IMMINENT)
    return True


@transaction.atomic
def _follow_words(
    run_number: int, state: str | None, substate: str | None, by: str, check: Callable[[], None]
) -> Run:
    run = locked_run(run_number)
    check()
    before = (run.state, run.substate)
    after = _pair(before, state, substate)
    if after == before:
        return run
    _check_pair(after)
    if not is_visiting(run):
        raise FieldRefused(
            "state", f"run {run_number} is {pair_name(before)}, as this testbed's own DAQ says"
        )
    steps = way(before, after)
    if not steps:
        raise TransitionRefused(f"run {run_number}: {why_refused(before, after)}")
    with said_over_rest(by, steps[-1].name or ""):
        return follow_daq(run_number, after)


def _pair(before: Pair, state: str | None, substate: str | None) -> Pair:
    """The pair of core state and substate that the words mean."""
    if state in _ENDS or (state is None and substate is None):
        return before
    if state in _PAIRS:
        return _PAIRS[state]
    if state is None:
        return (CoreState.RUN.value if substate in _SAID_OF_RUN else before[0], substate or "")
    meant = _STATES.get(state, state)
    if substate is not None:
        return meant, substate
    return meant, before[1] if meant == before[0] else _FIRST_SUBSTATE.get(meant, "not_ready")  # type: ignore[call-overload]


def _check_pair(pair: Pair) -> None:
    if pair[0] not in set(CoreState):
        raise FieldRefused("state", f"{pair[0]!r} is none; there are {', '.join(CoreState)}")
    if not is_legal(*pair):
        raise FieldRefused("substate", why_refused(pair, pair))
