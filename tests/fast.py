"""The fast path at every stage, made by the services alone, as `tests.factories` makes runs and STFs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from django.utils import timezone

from apps.runs.models import Run
from apps.stf.choices import WorkerStatus
from apps.stf.container.detectors import DETECTORS
from apps.stf.container.format import HIT, TF_NS
from apps.stf.histograms import Histograms, fill
from apps.stf.models import FastMonSample, TFSlice, Worker
from apps.stf.services.samples import SampleRead, TfFileMade, announce_samples, decide_samples, skip_samples
from apps.stf.services.slice_cutting import cut_samples
from apps.stf.services.slice_results import SliceReport, record_results
from apps.stf.services.slices import claim_slices
from apps.stf.services.workers import Beat, record_heartbeats
from tests.factories import a_running_run, an_stf

# Of each STF, so many TFs; of these, two blocks are looked at.
TFS = 100
BLOCK = 10
STARTS = (0, 50)


def a_sampled_run(stfs: int = 2, **overrides: Any) -> Run:
    """A run that takes data, with so many STFs that have been sampled; they wait for being cut.

    Its slices are expected to take so long that a worker is given two at a time.
    """
    sampling = {"stf_sampling_rate": 0.2, "slices_per_sample": 4, "slice_processing_time": 1.0}
    run = a_running_run(**sampling | overrides)
    for sequence in range(1, stfs + 1):
        sampled(run, sequence)
    return run


def some_hits(seed: int, count: int = 500) -> Any:
    """Hits of the first detectors, of any value, the same for the same seed."""
    random = np.random.default_rng(seed)
    hits = np.zeros(count, HIT)
    hits["detector"] = random.integers(0, 9, count)
    hits["adc"] = random.integers(0, 256, count)
    hits["channel"] = random.integers(0, DETECTORS[6].channels, count)
    hits["time"] = random.integers(0, TF_NS, count)
    return hits


def announced(run: Run, sequence: int = 1) -> FastMonSample:
    """One more STF, which waits for being sampled."""
    now = timezone.now()
    stf = an_stf(run, sequence, tf_first=(sequence - 1) * TFS, tf_count=TFS, begin_time=now, end_time=now)
    announce_samples([stf.stf_filename])
    return FastMonSample.objects.select_related("stf").get(stf=stf)


def sampled(run: Run, sequence: int = 1, *, corrupt: Sequence[int] = (), hits: Any = None) -> FastMonSample:
    """One more STF, sampled: two TF files, without the TFs that are `corrupt`."""
    sample = announced(run, sequence)
    histograms: Histograms = fill(some_hits(sequence) if hits is None else hits)
    files = [_tf_file(sample, nth, start, corrupt) for nth, start in enumerate(STARTS)]
    decide_samples(
        [
            SampleRead(
                sample_id=sample.pk,
                files=files,
                tf_count=sum(file.tf_count for file in files),
                corrupt_tfs=list(corrupt),
                begin=sample.stf.begin_time,
                histograms=histograms,
                hits=histograms.hits,
                bytes_read=sample.stf.size_bytes // 2,
                requests=3,
                read_seconds=0.01,
            )
        ]
    )
    sample.refresh_from_db()
    return sample


def not_sampled(run: Run, sequence: int, *, skipped: str = "", failed: str = "") -> FastMonSample:
    """One more STF, skipped or failed for this reason."""
    sample = announced(run, sequence)
    if skipped:
        skip_samples(run, [sample.pk], reason=skipped)
    else:
        decide_samples([SampleRead(sample_id=sample.pk, failed=failed)])
    sample.refresh_from_db()
    return sample


def cut(run: Run) -> list[TFSlice]:
    """The slices of the run's samples, all that wait cut now."""
    cut_samples()
    return list(TFSlice.objects.filter(run=run).select_related("fastmon_file", "run"))


def claimed(workers: int = 1) -> list[TFSlice]:
    """What is given out to so many workers."""
    return claim_slices(workers)


def settle(one: TFSlice, *, error: str = "", worker: str = "host-1", tries: int = 1) -> None:
    """A worker's word on a slice: done, or as often as `tries` says that it failed."""
    for _ in range(tries):
        one.refresh_from_db()
        report = SliceReport(
            one.req_id, good=not error, worker=worker, attempt=one.retries + 1, seconds=0.1, error=error
        )
        record_results([report])


def beat(worker_id: str = "host-1", status: WorkerStatus = WorkerStatus.READY, **says: Any) -> Worker:
    """A worker that has just been heard of."""
    record_heartbeats([Beat(worker_id, status, **{"location": "host", "pid": 1} | says)])
    return Worker.objects.get(worker_id=worker_id)


def _tf_file(sample: FastMonSample, nth: int, start: int, corrupt: Sequence[int]) -> TfFileMade:
    first = (sample.sequence - 1) * TFS + start
    last = first + BLOCK - 1
    bad = [tf for tf in corrupt if first <= tf <= last]
    name = f"{sample.stf.stf_filename.removesuffix('.stf')}_tf_{nth:03d}.tf"
    return TfFileMade(
        tf_filename=name,
        file_url=f"/nowhere/{name}",
        file_size_bytes=1000,
        checksum="0000000a",
        tf_first=first,
        tf_last=last,
        tf_count=BLOCK - len(bad),
        corrupt_tfs=bad,
    )
