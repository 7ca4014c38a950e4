"""Reads of STFs, replicas and the exit buffer. All return querysets or typed values; nothing here writes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Prefetch, Q, QuerySet, Sum
from django.utils import timezone

from apps.runs.models import Run

from .choices import BufferState, Registration, ReplicaState
from .models import Dataset, Replica, StfFile

RATE_WINDOW = timedelta(seconds=60)


def stf_list() -> QuerySet[StfFile]:
    """All STFs with run and replicas, for lists."""
    return StfFile.objects.select_related("run").prefetch_related("replicas")


def to_register(*, limit: int) -> list[StfFile]:
    """STFs that wait for registration, oldest first."""
    return list(
        StfFile.objects.filter(registration=Registration.GENERATED)
        .select_related("run__execution")
        .order_by("pk")[:limit]
    )


def unverified_replicas(*, now: datetime, limit: int) -> list[Replica]:
    """Copies to look after, oldest first; a failed one only when its pause is over."""
    return list(
        Replica.objects.exclude(state=ReplicaState.VERIFIED)
        .filter(Q(retry_at__isnull=True) | Q(retry_at__lte=now))
        .select_related("stf__run__dataset", "stf__run__namespace")
        .order_by("stf_id", "rse")[:limit]
    )


def releasable(run: Run) -> QuerySet[StfFile]:
    """STFs of a run that the DAQ may delete, the longest releasable first."""
    return StfFile.objects.filter(run=run, buffer=BufferState.RELEASABLE).order_by("releasable_at", "pk")


def runs_with_releasable() -> QuerySet[Run]:
    """Runs that have anything the DAQ may delete."""
    return (
        Run.objects.filter(stf_files__buffer=BufferState.RELEASABLE)
        .select_related("execution", "namespace")
        .distinct()
    )


def to_withdraw(*, limit: int) -> list[StfFile]:
    """Released STFs whose exit-buffer copy Rucio still lists."""
    return list(
        StfFile.objects.filter(buffer=BufferState.RELEASED, withdrawn_at__isnull=True)
        .select_related("run__dataset")
        .order_by("pk")[:limit]
    )


def open_datasets_of_ended_runs() -> QuerySet[Dataset]:
    """Datasets that still take files although the count of their run is known."""
    return (
        Dataset.objects.filter(is_open=True, run__expected_stf_count__isnull=False)
        .select_related("run__namespace")
        .annotate(
            registered=Count(
                "run__stf_files", filter=Q(run__stf_files__registration=Registration.REGISTERED)
            )
        )
    )


def complete_open_datasets() -> QuerySet[Dataset]:
    """Open datasets that hold as many STFs as their run has: they can be closed."""
    return open_datasets_of_ended_runs().filter(registered__gte=F("run__expected_stf_count"))


@dataclass(frozen=True)
class StageCounts:
    """How far the STFs of a run have come. `verified` counts by RSE; `daq` is what the DAQ has announced."""

    generated: int
    registered: int
    failed: int
    verified: dict[str, int]
    releasable: int
    released: int

    @property
    def safe(self) -> int:
        """STFs verified at every site."""
        return self.releasable + self.released


def stage_counts(run: Run) -> StageCounts:
    """Counts per stage of a run, in two queries."""
    totals = StfFile.objects.filter(run=run).aggregate(
        generated=Count("pk"),
        registered=Count("pk", filter=Q(registration=Registration.REGISTERED)),
        failed=Count("pk", filter=Q(registration=Registration.FAILED)),
        releasable=Count("pk", filter=Q(buffer=BufferState.RELEASABLE)),
        released=Count("pk", filter=Q(buffer=BufferState.RELEASED)),
    )
    found = dict(
        Replica.objects.filter(stf__run=run, state=ReplicaState.VERIFIED)
        .values_list("rse")
        .annotate(Count("pk"))
    )
    rses = run.parameters["replication"]["rses"]
    return StageCounts(**totals, verified={rse: found.get(rse, 0) for rse in rses})


@dataclass(frozen=True)
class BufferUsage:
    """The exit buffer: bytes held, capacity, and where it is going.

    `growth` is in bytes per second over the last minute; `hours_to_full` is None while it does not grow.
    """

    held_bytes: int
    capacity_bytes: int
    growth: float

    @property
    def fill(self) -> float:
        """Held share of the capacity, 0 to 1 and beyond."""
        return self.held_bytes / self.capacity_bytes

    @property
    def hours_to_full(self) -> float | None:
        """At the present rate; 0 when it is full."""
        left = self.capacity_bytes - self.held_bytes
        if left <= 0:
            return 0.0
        return left / self.growth / 3600 if self.growth > 0 else None


def buffer_usage(*, capacity_bytes: int) -> BufferUsage:
    """The exit buffer of this installation, over all runs."""
    since = timezone.now() - RATE_WINDOW
    held = _bytes(StfFile.objects.exclude(buffer=BufferState.RELEASED))
    came = _bytes(StfFile.objects.filter(generated_at__gte=since))
    went = _bytes(StfFile.objects.filter(released_at__gte=since))
    return BufferUsage(held, capacity_bytes, (came - went) / RATE_WINDOW.total_seconds())


def _bytes(stfs: QuerySet[StfFile]) -> int:
    return int(stfs.aggregate(total=Sum("size_bytes"))["total"] or 0)


def stf_grid(run: Run) -> list[dict[str, Any]]:
    """One row per STF of a run for the grid of its page: sequence, registration, buffer, and state by RSE."""
    replicas = Prefetch("replicas", Replica.objects.only("stf_id", "rse", "state", "reason"))
    stfs = run.stf_files.order_by("sequence").prefetch_related(replicas)
    return [
        {
            "sequence": stf.sequence,
            "filename": stf.stf_filename,
            "registration": stf.registration,
            "reason": stf.registration_reason,
            "buffer": stf.buffer,
            "replicas": {
                replica.rse: {"state": replica.state, "reason": replica.reason}
                for replica in stf.replicas.all()
            },
        }
        for stf in stfs
    ]
