"""Slices over REST: given out to workers that ask for them, and what agents of another system say of theirs."""

from __future__ import annotations

from collections.abc import Collection

from django.db import transaction

from apps.runs.errors import FieldRefused
from apps.runs.inserting import update_all
from apps.runs.services import said_over_rest

from ..choices import OPEN_SLICE, SliceState
from ..models import FastRun, TFSlice
from ..selectors.slices import slice_seconds
from .slice_counts import Counts, counts_of
from .slices import claim_of_run, fair_shares, open_gates

_ENDED = (
    "status",
    "lease_until",
    "reason",
    "assigned_worker",
    "completed_at",
    "processing_seconds",
    "result",
)


@transaction.atomic
def claim_for(
    worker_id: str,
    *,
    limit: int,
    run_number: int | None = None,
    within: Collection[str] | None = None,
    by: str,
) -> list[TFSlice]:
    """Give queued slices to this worker, the runs taking turns; no two workers are given the same. It must say what became
    of them before their lease ends.

    Args:
        run_number: the only run to take slices of; left out, of all.
        within: the namespaces of the runs to take slices of; left out, of all.

    Returns:
        At most so many slices, with their file, sample, STF and run; none when none is queued.
    """
    waiting = FastRun.objects.filter(drained_at__isnull=True, slices_queued__gt=0)
    if run_number is not None:
        waiting = waiting.filter(run__run_number=run_number)
    if within is not None:
        waiting = waiting.filter(run__namespace__name__in=within)
    counts = Counts(waiting)
    given_out = {run_id: fast.slices_claimed for run_id, fast in counts.runs.items()}
    queued = {run_id: fast.slices_queued for run_id, fast in counts.runs.items()}
    claimed: list[TFSlice] = []
    for run_id, count in fair_shares(limit, given_out, queued).items():
        wait = count * slice_seconds(counts.runs[run_id])
        claimed += claim_of_run(counts, run_id, count, wait=wait, worker=worker_id)
    open_gates(counts, {one.run_id for one in claimed}, 1)
    with said_over_rest(by):
        counts.settle()
    return claimed


@transaction.atomic
def end_visiting_slice(
    slice_id: int, status: SliceState, *, by: str, reason: str = "", worker: str = "", result: object = None
) -> TFSlice:
    """An agent of another system says what became of a slice that it gave to a worker itself. Saying the same again changes
    nothing.

    Raises:
        FieldRefused: the slice has ended otherwise, cannot go back, or is of this testbed's own samples.
    """
    one = TFSlice.objects.select_related("fastmon_file").get(pk=slice_id)
    counts = counts_of([one.run_id])
    one.refresh_from_db(fields=["status"])
    if one.status == status:
        return one
    if not one.fastmon_file.visiting:
        raise FieldRefused(
            "status", f"{one} is {one.status}, which its worker says: tf-slices/{one.pk}/result/"
        )
    if one.status not in OPEN_SLICE or status in OPEN_SLICE:
        raise FieldRefused("status", f"{one.status} does not lead to {status.value}")
    counts.move(one, status, reason=reason or ("its agent gives none" if status == SliceState.FAILED else ""))
    one.assigned_worker, one.result = worker or one.assigned_worker, result
    update_all([one], _ENDED)
    with said_over_rest(by):
        counts.settle()
    return one
