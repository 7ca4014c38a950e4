"""How the fast path of a run is run: what its backlog may do, how many workers it wants, and when it is through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db import transaction
from django.utils import timezone

from apps.runs import journal
from apps.runs.errors import DomainError
from apps.runs.models import Namespace, Run
from apps.runs.selectors import get_run

from ..choices import BacklogPolicy
from ..fast_parameters import fastproc_parameters
from ..models import FastRun
from ..selectors.slices import has_slices, is_through
from .fast_run import ensure_fast_run


@transaction.atomic
def announce_workers(run: Run) -> None:
    """Tell whoever starts workers that a run is coming for whose slices they will be wanted. Said once."""
    if not has_slices(run):
        return
    fast = _locked(run)
    if run.journal.filter(kind="run_imminent_worker").exists():
        return
    parameters = fastproc_parameters(run)
    content = {
        "target_worker_count": fast.target_worker_count,
        "core_count": fast.target_worker_count,  # the existing system's other name for it
        "slice_processing_time": parameters.slice_processing_time,
        "worker_rampup_time": parameters.worker_rampup_time,
        "worker_rampdown_time": parameters.worker_rampdown_time,
    }
    journal.record(
        journal.Change(
            "run_imminent_worker",
            run=run,
            payload={"created_at": timezone.now().isoformat(), "content": content},
        )
    )


@transaction.atomic
def set_backlog_policy(run_number: int, policy: str, *, by: str) -> FastRun:
    """Have another policy decide what becomes of slices that are too many. It holds at once, for those that wait too.

    Raises:
        NotFound: no such run.
        DomainError: an unknown policy, a run without slices, or no name.
    """
    if not by.strip():
        raise DomainError("changing the policy needs a name (by): it stays with the run")
    if policy not in BacklogPolicy.values:
        raise DomainError(
            f"there is no backlog policy {policy!r}; there are {', '.join(BacklogPolicy.values)}"
        )
    run = get_run(run_number)
    if not has_slices(run):
        raise DomainError(f"run {run_number} has no slices: its workflow samples or cuts nothing")
    fast = _locked(run)
    before = fast.backlog_policy
    if before == policy:
        return fast
    fast.backlog_policy, fast.policy_changed_by = policy, by
    fast.save(update_fields=["backlog_policy", "policy_changed_by"])
    with journal.on_behalf_of(by):
        journal.record(
            journal.Change("backlog_policy_changed", run=run, payload={"before": before, "policy": policy})
        )
    return fast


@transaction.atomic
def set_wanted_workers(run: Run, wanted: int, why: Mapping[str, object]) -> None:
    """From now on the run wants so many workers.

    Args:
        why: the figures that it was calculated from, for the journal.
    """
    fast = _locked(run)
    if fast.wanted_worker_count == wanted:
        return
    before, fast.wanted_worker_count = fast.wanted_worker_count, wanted
    fast.save(update_fields=["wanted_worker_count"])
    journal.record(
        journal.Change("workers_wanted", run=run, payload={"before": before, "wanted": wanted, **why})
    )


@transaction.atomic
def mark_drained(run: Run, *, stop: Sequence[str]) -> bool:
    """The run has ended and no slice of it is left: its workers may go.

    Args:
        stop: ids of the workers that no other run needs.

    Returns:
        Whether it is through; a sample that came in between is waited for.
    """
    fast = _locked(run)
    if fast.drained_at is not None or not is_through(fast):
        return fast.drained_at is not None
    fast.drained_at, fast.wanted_worker_count = timezone.now(), 0
    fast.save(update_fields=["drained_at", "wanted_worker_count"])
    if has_slices(run):
        content = {"requested_at": fast.drained_at.isoformat(), "worker_ids": list(stop)}
        journal.record(journal.Change("stop_transformer", run=run, payload={"content": content}))
    return True


@transaction.atomic
def stop_workers(worker_ids: Sequence[str], *, namespace: Namespace) -> None:
    """Tell these workers to finish their slice and leave."""
    content = {"requested_at": timezone.now().isoformat(), "worker_ids": list(worker_ids)}
    journal.record(journal.Change("stop_transformer", namespace=namespace, payload={"content": content}))


def _locked(run: Run) -> FastRun:
    fast = ensure_fast_run(run)
    return FastRun.objects.select_for_update(of=("self",)).select_related("run__execution").get(pk=fast.pk)
