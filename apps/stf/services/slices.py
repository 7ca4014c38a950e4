"""Giving slices out to workers under a lease, and taking back what comes to nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.runs.inserting import update_all

from ..choices import BacklogPolicy, SliceState
from ..fast_parameters import fastproc_parameters
from ..models import FastRun, TFSlice
from ..selectors.slices import finish_rates, worker_seconds
from .slice_counts import Counts, counts_of

# So many slices are on their way for each worker that is up, at least and at most: one in its hands, and what keeps it busy
# until the next ones come.
DEPTH, MOST_DEPTH = 2, 20
AHEAD_SECONDS = 0.5
_CLAIMED = ("status", "lease_until", "assigned_at", "assigned_worker")
_RETURNED = ("status", "lease_until", "reason", "retries", "completed_at")


def claim_slices(workers_up: int) -> list[TFSlice]:
    """Give out queued slices, as many as the workers can have on their way, the runs taking turns. Those of samples that
    another system's agent made are for whoever asks for them over REST.

    Nothing before a worker is up. Whoever calls sends them after this has been committed; what is not sent, its lease
    brings back.

    Returns:
        The slices that are claimed now, with their file, sample, STF and run.
    """
    at_work = FastRun.objects.filter(drained_at__isnull=True, visiting=False)
    if workers_up == 0 or not at_work.filter(slices_queued__gt=0).exists():
        return []
    with transaction.atomic():
        # All that are at work: what is given out counts over all runs.
        counts = Counts(at_work)
        given_out = {run_id: fast.slices_claimed for run_id, fast in counts.runs.items()}
        queued = {run_id: fast.slices_queued for run_id, fast in counts.runs.items()}
        # By the run whose slices take longest.
        finish_rate = sum(finish_rates().values())
        with_slices = [fast for fast in counts.runs.values() if fast.slices_queued]
        each = max((worker_seconds(fast, workers_up, finish_rate) for fast in with_slices), default=1.0)
        depth = min(MOST_DEPTH, max(DEPTH, int(AHEAD_SECONDS / each)))
        free = depth * workers_up - sum(given_out.values())
        claimed: list[TFSlice] = []
        for run_id, count in fair_shares(free, given_out, queued).items():
            claimed += claim_of_run(counts, run_id, count, wait=depth * each)
        open_gates(counts, {one.run_id for one in claimed}, workers_up)
        counts.settle()
    return claimed


@transaction.atomic
def give_back(slices: Sequence[TFSlice]) -> None:
    """These claims were not sent: they are queued again, and it was no try. If one was sent after all, its result counts."""
    counts = counts_of(one.run_id for one in slices)
    for one in (still := _still_claimed(Q(pk__in=[one.pk for one in slices]))):
        counts.move(one, SliceState.QUEUED)
    update_all(still, ["status", "lease_until"])
    counts.settle()


def return_expired() -> int:
    """Have the slices whose lease has ended tried again, by whoever comes next; after the last try they have failed.

    Returns:
        How many that were.
    """
    expired = Q(lease_until__lt=timezone.now())
    run_ids = set(TFSlice.objects.filter(expired, status=SliceState.CLAIMED).values_list("run_id", flat=True))
    if not run_ids:
        return 0
    with transaction.atomic():
        counts = counts_of(run_ids)
        returned = return_slices(counts, expired & Q(run__in=run_ids))
        counts.settle()
    return returned


def return_slices(counts: Counts, which: Q, *, reason: str = "") -> int:
    """Have claimed slices of locked runs tried again; how many that were.

    Args:
        reason: why; left out, that their lease has ended.
    """
    returned = _still_claimed(which)
    for one in returned:
        who = (
            f"worker {one.assigned_worker} said no more of it" if one.assigned_worker else "no worker took it"
        )
        counts.try_again(one, reason or f"its lease ended: {who}")
    update_all(returned, _RETURNED)
    return len(returned)


def fair_shares(free: int, given_out: Mapping[int, int], queued: Mapping[int, int]) -> dict[int, int]:
    """How many slices each run is given of so many free places: each place to the run that has the fewest given out."""
    have, left = dict(given_out), dict(queued)
    shares: dict[int, int] = {}
    for _ in range(min(free, sum(left.values()))):
        run_id = min((run_id for run_id in left if left[run_id]), key=lambda run_id: (have[run_id], run_id))
        shares[run_id] = shares.get(run_id, 0) + 1
        have[run_id] += 1
        left[run_id] -= 1
    return shares


def lease_end(fast: FastRun, *, wait: float = 0.0) -> datetime:
    """Until when a slice of this run is its worker's, from now on, if before it is worked on it may wait so many seconds."""
    return timezone.now() + timedelta(seconds=fastproc_parameters(fast.run).lease_seconds + wait)


def claim_of_run(counts: Counts, run_id: int, count: int, *, wait: float, worker: str = "") -> list[TFSlice]:
    """Give out so many queued slices of a locked run, if there are.

    Args:
        wait: seconds until the last of them is begun.
        worker: who has them now, if that is known.
    """
    fast = counts.runs[run_id]
    newest_first = fast.backlog_policy == BacklogPolicy.NEWEST_FIRST
    queued = (
        TFSlice.objects.select_related("run__execution", "run__namespace", "fastmon_file__sample__stf")
        .filter(run=run_id, status=SliceState.QUEUED)
        .order_by("-pk" if newest_first else "pk")
    )
    claimed = list(queued[:count])
    now, until = timezone.now(), lease_end(fast, wait=wait)
    for one in claimed:
        counts.move(one, SliceState.CLAIMED)
        one.lease_until, one.assigned_at, one.assigned_worker = until, now, worker
    update_all(claimed, _CLAIMED)
    return claimed


def open_gates(counts: Counts, run_ids: Iterable[int], workers_up: int) -> None:
    """Note when the first slice of a run was given out."""
    for run_id in run_ids:
        if counts.runs[run_id].dispatching_since is None:
            counts.runs[run_id].dispatching_since = timezone.now()
            counts.say(run_id, "dispatching_started", {"workers": workers_up})


def _still_claimed(which: Q) -> list[TFSlice]:
    return list(
        TFSlice.objects.filter(which, status=SliceState.CLAIMED).select_related("fastmon_file").order_by("pk")
    )
