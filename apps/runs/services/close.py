"""Closing a run on the verdict of the closeout proof, or by force."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from .. import journal
from ..choices import AWAITING_CLOSEOUT, LIFECYCLE_MOVES, SETTLED, RunLifecycle
from ..errors import DomainError
from ..models import Run
from .rows import locked_run, set_lifecycle


@transaction.atomic
def close(run_number: int, *, verdict: RunLifecycle, proof: dict[str, Any]) -> bool:
    """Give an ended run its verdict, if it still waits for one.

    Args:
        verdict: `closed`, `aborted` (complete too, but cut short on purpose) or `incomplete`.
        proof: what `run_closed` carries: counts and the list of what is missing.

    Returns:
        True when this call changed the lifecycle; False when the run has this verdict or cannot take it any more.
    """
    run = locked_run(run_number)
    if run.lifecycle == verdict or verdict not in LIFECYCLE_MOVES[run.lifecycle_choice]:
        return False
    _settle(run, verdict)
    journal.record(journal.Change("run_closed", run=run, payload={"state": verdict.value, **proof}))
    return True


@transaction.atomic
def force_close(run_number: int, *, by: str, reason: str, proof: dict[str, Any]) -> Run:
    """Close a run that the proof leaves incomplete. Who and why stay with the run and in the journal.

    Raises:
        DomainError: no reason was given, or the run still takes data, or it is closed already.
    """
    if not by.strip() or not reason.strip():
        raise DomainError("closing by force needs a name (by) and a reason: both stay with the run")
    run = locked_run(run_number)
    if run.lifecycle not in AWAITING_CLOSEOUT:
        settled = run.lifecycle in SETTLED
        advice = "there is nothing to force" if settled else "stop it first: control_run RUN stop"
        raise DomainError(f"run {run_number} is {run.lifecycle}: {advice}")
    run.close_forced_by, run.close_forced_reason = by, reason
    _settle(run, RunLifecycle.CLOSED)
    with journal.on_behalf_of(by):
        journal.record(
            journal.Change(
                "run_closed",
                run=run,
                payload={
                    "state": RunLifecycle.CLOSED.value,
                    "forced_by": by,
                    "forced_reason": reason,
                    **proof,
                },
            )
        )
    return run


def _settle(run: Run, verdict: RunLifecycle) -> None:
    set_lifecycle(run, verdict)
    run.closed_at = timezone.now() if verdict in SETTLED else None
    run.save()
