"""Slices at every stage, made by the services alone, as `tests.factories` makes runs and STFs."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from apps.runs.models import Run
from apps.stf import services
from apps.stf.choices import SliceState, WorkerStatus
from apps.stf.models import FastMonSample, FastRun, TFSlice, Worker
from apps.stf.services import Beat, SampleRead, SliceReport, TfFileMade
from tests.factories import a_running_run, an_stf

# Blocks of 5 TFs, and 6 slices for the two of them, unless a test wants it otherwise.
LENGTH = 5
SLICED: dict[str, Any] = {
    "stf_sampling_rate": 0.1,
    "slices_per_sample": 6,
    "backlog_policy": "all",
    "slice_processing_time": 1.0,  # two of them are on their way for each worker
}


def a_sliced_run(samples: int = 1, **overrides: Any) -> Run:
    """A run that takes data, with so many samples that are cut into slices."""
    run = a_running_run(**SLICED | overrides)
    to_cut(run, *range(1, samples + 1))
    services.cut_samples()
    return run


def to_cut(run: Run, *sequences: int, blocks: int = 2, length: int = LENGTH) -> None:
    """STFs of the run have been sampled in so many blocks of so many TFs, and wait for being cut."""
    stfs = {sequence: an_stf(run, sequence) for sequence in sequences}
    services.announce_samples(stf.stf_filename for stf in stfs.values())
    reads = [
        SampleRead(
            sample_id=sample.pk,
            files=[_tf_file(sample, block, length) for block in range(blocks)],
            tf_count=blocks * length,
        )
        for sample in FastMonSample.objects.filter(run=run, sequence__in=sequences).select_related("stf")
    ]
    services.decide_samples(reads)


def _tf_file(sample: FastMonSample, block: int, length: int) -> TfFileMade:
    first = sample.sequence * 1000 + block * 100
    name = f"{sample.stf.stf_filename.removesuffix('.stf')}_tf_{block:03d}.tf"
    return TfFileMade(
        tf_filename=name,
        file_url=f"/nowhere/{name}",
        file_size_bytes=1000,
        checksum="0000000a",
        tf_first=first,
        tf_last=first + length - 1,
        tf_count=length,
    )


def heard(worker_id: str = "worker-1", status: str = "ready", **said: Any) -> None:
    """A heartbeat of a worker."""
    services.record_heartbeats(
        [Beat(worker_id, WorkerStatus(status), **{"location": "here", "pid": 1} | said)]
    )


def done(*slices: TFSlice, **said: Any) -> list[str]:
    """Good results of these slices, as they were given out."""
    return services.record_results([report(one, **said) for one in slices])


def failed(*slices: TFSlice, error: str = "no memory", **said: Any) -> list[str]:
    """Failures of these slices, as they were given out."""
    return services.record_results([report(one, good=False, error=error, **said) for one in slices])


def report(one: TFSlice, **said: Any) -> SliceReport:
    """What a worker says of a slice that it was given as it is here."""
    return SliceReport(one.req_id, **{"good": True, "attempt": one.retries + 1, "seconds": 1.0} | said)


def expire(*slices: TFSlice) -> None:
    """The leases of these slices have ended."""
    _claimed(*slices).update(lease_until=timezone.now() - timedelta(seconds=1))


def silence(worker_id: str = "worker-1", seconds: float = 6.0) -> None:
    """The worker has not been heard of for so long."""
    since = timezone.now() - timedelta(seconds=seconds)
    Worker.objects.filter(worker_id=worker_id).update(last_heartbeat=since)


def states(run: Run) -> dict[str, int]:
    """How many slices of the run are in each state, as far as there are any."""
    return dict(Counter(TFSlice.objects.filter(run=run).values_list("status", flat=True)))


def counted(run: Run) -> dict[str, int]:
    """As `states`, by the counts of the run; checked to add up."""
    fast = FastRun.objects.get(run=run)
    counts = {str(state): int(getattr(fast, f"slices_{state}")) for state in SliceState}
    assert fast.slices_created == sum(counts.values())
    return {state: count for state, count in counts.items() if count}


def slice_of(req_id: UUID) -> TFSlice:
    return TFSlice.objects.select_related("fastmon_file").get(req_id=req_id)


def _claimed(*slices: TFSlice) -> Any:
    return TFSlice.objects.filter(pk__in=[one.pk for one in slices], status=SliceState.CLAIMED)
