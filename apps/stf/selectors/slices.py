"""How far the slices of runs have come, how many wait and for how long, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, Q, QuerySet
from django.utils import timezone

from apps.runs.choices import SETTLED, TAKING_DATA
from apps.runs.models import Run

from ..choices import BacklogPolicy, Registration, SampleState, SliceState, Slicing
from ..fast_parameters import fastmon_parameters, fastproc_parameters
from ..models import FastMonSample, FastRun, StfFile, TFSlice
from .workers import workers_up

# Rates are those of so long.
RATE_WINDOW = timedelta(seconds=10)
# Of the slices of a run, so many of the newest are looked at for its rates.
_NEWEST = 5000


@dataclass(frozen=True)
class Backlog:
    """The slices of a run that wait for workers.

    `arrival_rate` and `finish_rate` are slices per second; `oldest_at` is when the oldest one that is not through was cut;
    `limit` holds with the policies other than all. `slice_seconds` is what the processing of one takes, `worker_seconds`
    the time of a worker that one costs, with all that is around it. `seconds_to_drain` is None while the backlog does not
    shrink; `waits_for` says what it waits for, empty when nothing is amiss.
    """

    policy: BacklogPolicy
    limit: int
    queued: int
    claimed: int
    oldest_at: datetime | None
    arrival_rate: float
    finish_rate: float
    slice_seconds: float
    worker_seconds: float
    workers_up: int
    workers_wanted: int
    seconds_to_drain: float | None
    waits_for: str

    @property
    def open(self) -> int:
        """Slices that are not through."""
        return self.queued + self.claimed

    @property
    def oldest_seconds(self) -> float:
        """How long the oldest one has waited."""
        return (timezone.now() - self.oldest_at).total_seconds() if self.oldest_at else 0.0


@dataclass(frozen=True)
class SliceReason:
    """So many slices of a run have failed or were skipped for the same reason."""

    status: SliceState
    reason: str
    count: int


def fast_runs_at_work() -> QuerySet[FastRun]:
    """The fast paths that are not drained, the oldest first, with their runs."""
    at_work = FastRun.objects.filter(drained_at__isnull=True)
    return at_work.select_related("run__execution", "run__namespace").order_by("pk")


def fast_run_of(run: Run) -> FastRun | None:
    """The fast path of a run with its exact counts, if it has one."""
    return FastRun.objects.filter(run=run).select_related("run__execution").first()


def slice_seconds(fast: FastRun) -> float:
    """What a slice takes: the mean of those that are done, before that what the workflow expects."""
    if fast.slices_done and fast.processing_seconds:
        return fast.processing_seconds / fast.slices_done
    return fastproc_parameters(fast.run).slice_processing_time


def arrival_rate(run_id: int) -> float:
    """Slices of a run that were cut per second, of late; one query."""
    now = timezone.now()
    newest = TFSlice.objects.filter(run=run_id).order_by("-pk")[:_NEWEST]
    late = newest.aggregate(
        count=Count("pk", filter=Q(created_at__gt=now - RATE_WINDOW)), since=Min("created_at")
    )
    window = RATE_WINDOW.total_seconds()
    if late["count"] == _NEWEST:  # they do not reach back so long
        window = max(0.1, (now - late["since"]).total_seconds())
    return float(late["count"] / window)


def finish_rates() -> dict[int, float]:
    """Slices that were done per second, of late, by the id of their run; one query."""
    now = timezone.now()
    late = TFSlice.objects.filter(status=SliceState.DONE, completed_at__gt=now - RATE_WINDOW)
    rows = late.values_list("run_id").annotate(Count("pk"), Min("completed_at")).order_by()
    return {run_id: count / max(1.0, (now - since).total_seconds()) for run_id, count, since in rows}


def worker_seconds(fast: FastRun, workers: int, finish_rate: float) -> float:
    """The time of a worker that a slice costs: at least what its processing takes, and what so many workers that were busy
    needed for it, if that is known. `finish_rate` is slices per second of all runs.
    """
    return max(slice_seconds(fast), workers / finish_rate) if finish_rate else slice_seconds(fast)


def backlog(fast: FastRun) -> Backlog:
    """What of a run waits for workers; the row needs its run with the execution. A constant number of queries."""
    parameters = fastproc_parameters(fast.run)
    up, arrival, finish = workers_up().count(), arrival_rate(fast.run_id), finish_rates()
    # While slices wait, the workers do what they can.
    busy = (up or fast.wanted_worker_count) if fast.slices_queued else 0
    seconds = worker_seconds(fast, busy, sum(finish.values()))
    open_slices = fast.slices_queued + fast.slices_claimed
    return Backlog(
        policy=BacklogPolicy(fast.backlog_policy),
        limit=parameters.backlog_limit,
        queued=fast.slices_queued,
        claimed=fast.slices_claimed,
        oldest_at=_oldest(fast.run_id) if open_slices else None,
        arrival_rate=arrival,
        finish_rate=finish.get(fast.run_id, 0.0),
        slice_seconds=slice_seconds(fast),
        worker_seconds=seconds,
        workers_up=up,
        workers_wanted=fast.wanted_worker_count,
        seconds_to_drain=seconds_to_drain(open_slices, arrival, up / _runs_with_slices() / seconds),
        waits_for=_waits_for(fast, up),
    )


def seconds_to_drain(open_slices: int, arrival: float, capacity: float) -> float | None:
    """How long until so many slices are through while others come; None if that is never. Rates per second."""
    if not open_slices:
        return 0.0
    return open_slices / (capacity - arrival) if capacity > arrival else None


def slice_reasons(run: Run, *, limit: int = 50) -> list[SliceReason]:
    """Why slices of a run have failed or were skipped, the most frequent reason first; one query."""
    rows = (
        TFSlice.objects.filter(run=run, status__in=[SliceState.FAILED, SliceState.SKIPPED])
        .values("status", "reason")
        .annotate(count=Count("pk"))
        .order_by("-count", "reason")[:limit]
    )
    return [SliceReason(SliceState(row["status"]), row["reason"], row["count"]) for row in rows]


def slicing_reasons(run: Run, *, limit: int = 50) -> list[tuple[str, int]]:
    """Why samples of a run were not cut, with how many they are; one query."""
    skipped = FastMonSample.objects.filter(run=run, slicing=Slicing.SKIPPED)
    rows = skipped.values("slicing_reason").annotate(count=Count("pk")).order_by("-count")[:limit]
    return [(row["slicing_reason"], row["count"]) for row in rows]


def has_slices(run: Run) -> bool:
    """Whether by the run's workflow its STFs are sampled and the samples cut."""
    return fastmon_parameters(run).stf_sampling_rate > 0 and fastproc_parameters(run).slices_per_sample > 0


def has_ended(run: Run) -> bool:
    """Whether no STF is taken any more."""
    return run.lifecycle not in TAKING_DATA


def is_through(fast: FastRun) -> bool:
    """Whether the run has ended, and nothing of it is left to be sampled, cut or processed.

    An STF that is announced but not sampled is waited for until the run is settled: then it may be that it never comes.
    """
    run = fast.run
    if not has_ended(run) or fast.slices_queued or fast.slices_claimed:
        return False
    undecided = Q(state=SampleState.WAITING) | Q(slicing=Slicing.WAITING)
    if FastMonSample.objects.filter(undecided, run=run).exists():
        return False
    return run.lifecycle in SETTLED or not _to_be_sampled(run).exists()


def _to_be_sampled(run: Run) -> QuerySet[StfFile]:
    return StfFile.objects.filter(run=run, sample__isnull=True).exclude(registration=Registration.FAILED)


def _oldest(run_id: int) -> datetime | None:
    slices = TFSlice.objects.filter(run=run_id)
    queued = slices.filter(status=SliceState.QUEUED).order_by("pk").values_list("created_at", flat=True)[:1]
    claimed = slices.filter(status=SliceState.CLAIMED).values_list("created_at", flat=True)
    return min((*queued, *claimed), default=None)


def _runs_with_slices() -> int:
    """Runs that share the workers now."""
    return max(1, FastRun.objects.filter(Q(slices_queued__gt=0) | Q(slices_claimed__gt=0)).count())


def _waits_for(fast: FastRun, up: int) -> str:
    if not fast.slices_queued or up:
        return ""
    match fastproc_parameters(fast.run).workers:
        case "local" if fast.target_worker_count:
            return "a worker to be up"
        case "local":
            return "a worker: target_worker_count is 0, so none is started"
        case "panda":
            return "a worker to be up: PanDA has none running"
        case _:
            return "a worker to be up: somebody has to start one (swf-testbed worker)"
