"""Reads of STFs, replicas and the exit buffer."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from apps.runs.choices import RunLifecycle
from apps.runs.models import Run
from apps.runs.related import with_related

from ..choices import BufferState, Registration, ReplicaState
from ..models import Dataset, Replica, StfFile

RATE_WINDOW = timedelta(seconds=60)


def stf_list() -> QuerySet[StfFile]:
    """All STFs with run and replicas, for lists."""
    return StfFile.objects.prefetch_related("run", "replicas")


def replica_list() -> QuerySet[Replica]:
    """All copies with their STF and run, newest first."""
    return with_related(
        Replica.objects.order_by("-pk"), stf=["sequence", "stf_filename"], stf__run=["run_number"]
    )


def dataset_list() -> QuerySet[Dataset]:
    """All datasets with their run, newest first."""
    return with_related(Dataset.objects.order_by("-pk"), run=["run_number"])


def runs_without_dataset() -> QuerySet[Run]:
    """Runs that are coming or going on and have no dataset yet."""
    return Run.objects.filter(
        lifecycle__in=[RunLifecycle.IMMINENT, RunLifecycle.RUNNING], dataset__isnull=True
    ).select_related("execution", "namespace")


def to_register(*, limit: int) -> list[StfFile]:
    """STFs that wait for registration, oldest first."""
    return list(
        StfFile.objects.filter(registration=Registration.GENERATED)
        .prefetch_related("run__execution", "run__namespace")
        .order_by("pk")[:limit]
    )


def unverified_replicas(*, now: datetime, limit: int, after: int = 0) -> list[Replica]:
    """Copies to look after, oldest first, from beyond the one with the id `after` on; a failed one only when its pause
    is over.
    """
    return list(
        Replica.objects.exclude(state=ReplicaState.VERIFIED)
        .filter(Q(retry_at__isnull=True) | Q(retry_at__lte=now))
        .select_related("stf")
        .prefetch_related("stf__run__dataset", "stf__run__namespace")
        .filter(pk__gt=after)
        .order_by("pk")[:limit]
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
        .prefetch_related("run__dataset")
        .order_by("pk")[:limit]
    )


def complete_open_datasets() -> QuerySet[Dataset]:
    """Open datasets that hold as many STFs as their run has: they can be closed."""
    registered = Count("run__stf_files", filter=Q(run__stf_files__registration=Registration.REGISTERED))
    return (
        Dataset.objects.filter(is_open=True, run__expected_stf_count__isnull=False)
        .select_related("run__namespace")
        .alias(registered=registered)
        .filter(registered__gte=F("run__expected_stf_count"))
    )


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


@dataclass(frozen=True, slots=True)
class StfCell:
    """How far one STF has come. `replicas` holds state and reason by RSE, of STFs that are not safe yet."""

    sequence: int
    registration: str
    reason: str
    buffer: str
    replicas: dict[str, tuple[str, str]]


def has_failed(run: Run) -> bool:
    """Whether any registration or copy of a run stands as failed."""
    copies = Replica.objects.filter(stf=OuterRef("pk"), state=ReplicaState.FAILED)
    failed = Q(registration=Registration.FAILED) | Q(Exists(copies))
    return run.stf_files.filter(failed, buffer=BufferState.HELD).exists()


def last_sequence(run: Run) -> int:
    """The highest sequence of a run that is known; 0 when none is."""
    return run.stf_files.aggregate(last=Max("sequence"))["last"] or 0


def counts_before(run: Run, sequence: int) -> tuple[int, int]:
    """How many STFs come before this sequence, and how many of these are released."""
    before = run.stf_files.filter(sequence__lt=sequence).aggregate(
        all=Count("pk"), released=Count("pk", filter=Q(buffer=BufferState.RELEASED))
    )
    return before["all"], before["released"]


def stf_cells(run: Run, *, since: int) -> list[StfCell]:
    """The STFs of a run from sequence `since` on, and those before it that are not safe yet; two queries."""
    wanted = Q(buffer=BufferState.HELD) | Q(sequence__gte=since)
    replicas: dict[int, dict[str, tuple[str, str]]] = defaultdict(dict)
    for stf_id, rse, state, reason in Replica.objects.filter(
        stf__run=run, stf__buffer=BufferState.HELD
    ).values_list("stf_id", "rse", "state", "reason"):
        replicas[stf_id][rse] = (state, reason)
    stfs = (
        run.stf_files.filter(wanted)
        .order_by("sequence")
        .values_list("pk", "sequence", "registration", "registration_reason", "buffer")
    )
    return [
        StfCell(sequence, registration, reason, buffer, replicas.get(pk, {}))
        for pk, sequence, registration, reason, buffer in stfs
    ]
