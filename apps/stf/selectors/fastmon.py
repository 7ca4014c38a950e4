"""Reads of samples, TF files and histograms: what the sampler has to do, and what pages show of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from apps.runs.models import Run

from ..choices import SampleState, SliceState, Slicing, TfFileStatus
from ..fast_parameters import fastmon_parameters
from ..models import FastMonFile, FastMonSample, HistogramWindow, TFSlice

# Of so many samples, the latest, pages show how long they took.
LATENCY_SAMPLES = 1000
LAST_REASONS = 5


@dataclass(frozen=True)
class LastReason:
    """Why a sample was skipped or failed, and when that was decided."""

    sequence: int
    state: SampleState
    reason: str
    decided_at: datetime


@dataclass(frozen=True)
class FastMonSummary:
    """What fast monitoring has made of a run.

    `by_state` has a number for every state. `tfs`, `hits` and `bytes_read` are those of all samples, `bytes_of_stfs` the
    sizes of the STFs that were read. Latencies are in seconds from the closed STF to the decision, of the latest samples;
    None as long as there is none.
    """

    by_state: dict[SampleState, int]
    tfs: int
    hits: int
    files: int
    corrupt_tfs: int
    bytes_read: int
    bytes_of_stfs: int
    requests: int
    latency_p50: float | None
    latency_p95: float | None
    last_reasons: list[LastReason]


def samples_to_read(*, limit: int) -> list[FastMonSample]:
    """The newest samples that wait, with their STFs and runs, newest first: plots show what is, not what was."""
    waiting = FastMonSample.objects.filter(state=SampleState.WAITING)
    return list(waiting.select_related("stf", "run__execution").order_by("-pk")[:limit])


def is_stale(sample: FastMonSample) -> bool:
    """Whether it has waited longer than its run allows."""
    return sample.stf.generated_at < _stale_before(sample.run)


def stale_samples() -> list[tuple[Run, list[int]]]:
    """Ids of the samples that have waited longer than their run allows, run by run."""
    waiting = FastMonSample.objects.filter(state=SampleState.WAITING)
    runs = Run.objects.filter(pk__in=waiting.values("run")).select_related("execution").order_by("pk")
    stale = []
    for run in runs:
        ids = waiting.filter(run=run, stf__generated_at__lt=_stale_before(run)).order_by("pk")
        stale.append((run, list(ids.values_list("pk", flat=True))))
    return [(run, ids) for run, ids in stale if ids]


def files_to_remove(*, limit: int) -> list[FastMonFile]:
    """TF files that nobody needs any more: their slices are final, or there will be none, for as long as their run says."""
    kept = FastMonFile.objects.filter(status=TfFileStatus.REGISTERED)
    runs = Run.objects.filter(pk__in=kept.values("sample__run")).select_related("execution").order_by("pk")
    files: list[FastMonFile] = []
    for run in runs:
        since = timezone.now() - timedelta(seconds=fastmon_parameters(run).keep_seconds)
        needed = TFSlice.objects.filter(fastmon_file=OuterRef("pk")).filter(
            Q(status__in=[SliceState.QUEUED, SliceState.CLAIMED]) | Q(completed_at__gt=since)
        )
        old = kept.filter(~Exists(needed), sample__run=run, created_at__lte=since)
        old = old.exclude(sample__slicing=Slicing.WAITING).select_related("sample__run")
        files += old.order_by("pk")[: limit - len(files)]
    return files


def window_list(run: Run) -> QuerySet[HistogramWindow]:
    """The windows of a run in the order of time, without their contents."""
    return HistogramWindow.objects.filter(run=run).defer("contents").order_by("begin_time")


def fastmon_summary(run: Run) -> FastMonSummary:
    """What fast monitoring has made of a run; a fixed number of queries."""
    samples = FastMonSample.objects.filter(run=run)
    states = dict(samples.order_by().values_list("state").annotate(Count("pk")))
    sums = samples.aggregate(
        tfs=Sum("tf_count", default=0),
        hits=Sum("hits", default=0),
        read=Sum("bytes_read", default=0),
        requests=Sum("requests", default=0),
        sizes=Sum("stf__size_bytes", filter=Q(state=SampleState.SAMPLED), default=0),
    )
    p50, p95 = _latencies(run)
    return FastMonSummary(
        by_state={state: states.get(state, 0) for state in SampleState},
        tfs=sums["tfs"],
        hits=sums["hits"],
        files=FastMonFile.objects.filter(sample__run=run).count(),
        corrupt_tfs=_corrupt_tfs(samples),
        bytes_read=sums["read"],
        bytes_of_stfs=sums["sizes"],
        requests=sums["requests"],
        latency_p50=p50,
        latency_p95=p95,
        last_reasons=_last_reasons(samples),
    )


def _stale_before(run: Run) -> datetime:
    """STFs that were closed before are not read any more."""
    return timezone.now() - timedelta(seconds=fastmon_parameters(run).max_age_seconds)


def _corrupt_tfs(samples: QuerySet[FastMonSample]) -> int:
    return sum(len(tfs) for tfs in samples.exclude(corrupt_tfs=[]).values_list("corrupt_tfs", flat=True))


def _last_reasons(samples: QuerySet[FastMonSample]) -> list[LastReason]:
    lost = samples.filter(state__in=[SampleState.SKIPPED, SampleState.FAILED]).order_by("-pk")
    rows = lost.values_list("sequence", "state", "reason", "decided_at")[:LAST_REASONS]
    return [
        LastReason(sequence, SampleState(state), reason, decided_at)
        for sequence, state, reason, decided_at in rows
        if decided_at
    ]


def _latencies(run: Run) -> Sequence[float | None]:
    """Median and 95th percentile of the latest samples."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY seconds) FROM ("
            "  SELECT extract(epoch FROM sample.decided_at - stf.generated_at)::float8 AS seconds"
            "  FROM stf_fastmonsample AS sample JOIN stf_stffile AS stf ON stf.id = sample.stf_id"
            "  WHERE sample.run_id = %s AND sample.state = 'sampled'"
            "  ORDER BY sample.sequence DESC LIMIT %s) AS latest",
            [run.pk, LATENCY_SAMPLES],
        )
        row = cursor.fetchone()
    return (row and row[0]) or (None, None)
