"""Reads of samples, TF files and histograms: what the sampler has to do, and what pages show of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from apps.runs.models import Run

from ..choices import SampleState, SliceState, Slicing, TfFileStatus
from ..fast_parameters import fastmon_parameters
from ..models import FastMonFile, FastMonSample, HistogramWindow, TFSlice
from .sample_sums import LastReason, sample_sums

# Of so many samples, the latest, pages show how long they took.
LATENCY_SAMPLES = 1000


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
    kept = FastMonFile.objects.filter(status=TfFileStatus.REGISTERED, visiting=False)
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
    """What fast monitoring has made of a run; a fixed number of queries, which cost no more in a long run."""
    sums = sample_sums(run)
    p50, p95 = _latencies(run)
    return FastMonSummary(
        by_state={state: sums.by_state[state] for state in SampleState},
        tfs=sums.tfs,
        hits=sums.hits,
        files=sums.files,
        corrupt_tfs=sums.corrupt_tfs,
        bytes_read=sums.bytes_read,
        bytes_of_stfs=sums.bytes_of_stfs,
        requests=sums.requests,
        latency_p50=p50,
        latency_p95=p95,
        last_reasons=list(sums.last_reasons),
    )


def _stale_before(run: Run) -> datetime:
    """STFs that were closed before are not read any more."""
    return timezone.now() - timedelta(seconds=fastmon_parameters(run).max_age_seconds)


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
