"""Samples are announced once, decided once, and what is in the histograms is what was decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.runs.errors import NotFound
from apps.runs.models import Run
from apps.stf import selectors, services
from apps.stf.choices import SampleState, Slicing, TfFileStatus
from apps.stf.container.format import HIT
from apps.stf.histograms import Histograms, fill, unpack
from apps.stf.models import FastMonFile, FastMonSample, HistogramWindow, StfFile, TFSlice
from apps.stf.services import SampleRead, TfFileMade
from tests import factories
from tests.factories import an_stf, kinds, registered

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]

BEGIN = datetime(2026, 7, 1, 12, 0, 3, tzinfo=UTC)


def a_running_run(**overrides: Any) -> Run:
    """A run that is sampled."""
    return factories.a_running_run(**{"stf_sampling_rate": 0.05} | overrides)


def announced(run: Run, count: int = 3, **changes: Any) -> list[FastMonSample]:
    """So many registered STFs of a run, announced."""
    stfs = registered(*(an_stf(run, sequence, **changes) for sequence in range(1, count + 1)))
    services.announce_samples([stf.stf_filename for stf in stfs])
    return list(FastMonSample.objects.filter(run=run).select_related("stf").order_by("sequence"))


def hits_of(sequence: int, count: int = 10) -> Histograms:
    hits = np.zeros(count, HIT)
    hits["detector"] = np.arange(count) % 32
    hits["adc"] = sequence
    return fill(hits)


def made(stf: StfFile, number: int = 1, **changes: Any) -> TfFileMade:
    name = f"{stf.stf_filename.removesuffix('.stf')}_tf_{number:03d}.tf"
    file = TfFileMade(
        tf_filename=name,
        file_url=f"/data/{name}",
        file_size_bytes=1000,
        checksum="0000abcd",
        tf_first=number * 100,
        tf_last=number * 100 + 9,
        tf_count=10,
    )
    return replace(file, **changes)


def read(sample: FastMonSample, **changes: Any) -> SampleRead:
    histograms = hits_of(sample.sequence)
    whole = SampleRead(
        sample_id=sample.pk,
        files=[made(sample.stf)],
        tf_count=10,
        begin=BEGIN + timedelta(seconds=sample.sequence),
        histograms=histograms,
        hits=histograms.hits,
        bytes_read=1500,
        requests=3,
        read_seconds=0.01,
    )
    return replace(whole, **changes)


def states(run: Run) -> list[str]:
    return list(FastMonSample.objects.filter(run=run).order_by("sequence").values_list("state", flat=True))


def test_an_announced_stf_waits_once() -> None:
    run = a_running_run()
    samples = announced(run)
    assert services.announce_samples([sample.stf.stf_filename for sample in samples]) == 0
    assert states(run) == ["waiting"] * 3
    assert run.fast.stf_samples_received == 3


def test_a_run_that_wants_no_sampling_has_no_samples() -> None:
    run = a_running_run(stf_sampling_rate=0.0)
    assert announced(run) == []
    assert not hasattr(run, "fast")


def test_an_unknown_stf_is_refused() -> None:
    with pytest.raises(NotFound, match=r"there is no STF swf\.1\.stf"):
        services.announce_samples(["swf.1.stf"])


def test_deciding_says_all_there_is_to_say() -> None:
    run = a_running_run()
    first, *_ = announced(run, 1)
    [decided] = services.decide_samples([read(first)])
    decided.refresh_from_db()
    assert (decided.state, decided.slicing) == (SampleState.SAMPLED, Slicing.WAITING)
    assert (decided.tf_count, decided.hits, decided.bytes_read) == (10, 10, 1500)
    assert decided.hits_by_detector == hits_of(1).entries.tolist()
    file = FastMonFile.objects.get()
    entry = run.journal.get(kind="tf_file_registered")
    assert entry.payload["tf_file_id"] == str(file.tf_file_id)
    assert entry.payload["stf_filename"] == first.stf.stf_filename
    window = HistogramWindow.objects.get()
    assert (window.begin_time, window.stf_count, window.tf_count) == (BEGIN.replace(second=0), 1, 10)
    assert unpack(bytes(window.contents)) == hits_of(1)


def test_what_is_decided_counts_once() -> None:
    run = a_running_run()
    samples = announced(run)
    reads = [read(sample) for sample in samples]
    assert len(services.decide_samples(reads[:2])) == 2
    assert [sample.sequence for sample in services.decide_samples(reads)] == [3]
    assert services.decide_samples(reads) == []
    assert FastMonFile.objects.count() == 3
    assert kinds(run, "tf_file_registered") == ["tf_file_registered"] * 3
    assert selectors.run_histograms(run).hits == 30


def test_a_failed_sample_has_its_reason_and_no_slices() -> None:
    run = a_running_run()
    first, second, _ = announced(run)
    services.decide_samples([read(first, failed="no container", files=[], histograms=None), read(second)])
    assert states(run) == ["failed", "sampled", "waiting"]
    first.refresh_from_db()
    assert (first.reason, first.slicing) == ("no container", Slicing.OFF)
    assert run.journal.get(kind="sample_failed").payload == {"sequence": 1, "reason": "no container"}


def test_without_slices_or_files_nothing_waits_to_be_cut() -> None:
    run = a_running_run(slices_per_sample=0)
    services.decide_samples([read(announced(run, 1)[0])])
    other = a_running_run()
    services.decide_samples([read(announced(other, 1)[0], files=[])])
    assert set(FastMonSample.objects.values_list("slicing", flat=True)) == {Slicing.OFF}


def test_stale_samples_are_skipped_and_counted_with_the_reason() -> None:
    run = a_running_run(max_age_seconds=60.0)
    announced(run, 2, generated_at=timezone.now() - timedelta(seconds=61))
    fresh = an_stf(run, 3)
    services.announce_samples([fresh.stf_filename])
    [(stale_run, ids)] = selectors.stale_samples()
    assert services.skip_samples(stale_run, ids, reason="too late") == 2
    assert services.skip_samples(stale_run, ids, reason="too late") == 0
    assert states(run) == ["skipped", "skipped", "waiting"]
    run.fast.refresh_from_db()
    assert (run.fast.stf_samples_received, run.fast.stf_samples_skipped) == (3, 2)
    entry = run.journal.get(kind="samples_skipped")
    assert entry.payload == {"count": 2, "sequences": [1, 2], "reason": "too late"}
    assert services.decide_samples([read(FastMonSample.objects.get(run=run, sequence=1))]) == []


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), min_size=1, max_size=6))
def test_in_whatever_batches_each_sample_counts_once(batches: list[list[int]]) -> None:
    run = a_running_run()
    samples = announced(run, 6)
    for batch in batches:
        services.decide_samples([read(samples[position]) for position in batch])
        assert selectors.run_histograms(run).hits == 10 * states(run).count("sampled")
    chosen = {position for batch in batches for position in batch}
    total = sum((hits_of(samples[position].sequence) for position in chosen), Histograms.empty())
    assert selectors.run_histograms(run) == total
    assert sum(window.stf_count for window in selectors.window_list(run)) == len(chosen)


def test_the_strip_chart_has_a_point_for_each_window() -> None:
    run = a_running_run(window_seconds=1.0)
    samples = announced(run)
    services.decide_samples([read(sample) for sample in samples])
    points = selectors.strip_chart(run)
    assert [point.begin_time for point in points] == [BEGIN + timedelta(seconds=n) for n in (1, 2, 3)]
    assert points[1].mean_adc[:10].tolist() == [2.0] * 10
    assert np.isnan(points[1].mean_adc[10:]).all()
    assert points[0].hits_per_tf[0] == 0.1


def test_the_summary_counts_and_says_the_last_reasons() -> None:
    run = a_running_run()
    first, second, third = announced(run)
    services.decide_samples(
        [read(first, corrupt_tfs=[7, 8]), read(second, failed="gone", files=[], histograms=None)]
    )
    services.skip_samples(run, [third.pk], reason="too late")
    summary = selectors.fastmon_summary(run)
    assert summary.by_state == {"waiting": 0, "sampled": 1, "skipped": 1, "failed": 1}
    assert (summary.files, summary.corrupt_tfs, summary.bytes_of_stfs) == (1, 2, first.stf.size_bytes)
    assert [(last.sequence, last.reason) for last in summary.last_reasons] == [(3, "too late"), (2, "gone")]
    assert summary.latency_p50 is not None
    assert summary.latency_p50 >= 0


def test_of_a_run_without_samples_there_is_an_empty_summary() -> None:
    summary = selectors.fastmon_summary(a_running_run())
    assert (summary.tfs, summary.latency_p50, summary.last_reasons) == (0, None, [])


def cut(sample: FastMonSample, statuses: Sequence[str], *, ago: float) -> None:
    """Slices of these statuses for the sample's file, final since so many seconds."""
    file = sample.files.get()
    when = timezone.now() - timedelta(seconds=ago)
    firsts = [file.tf_first + position for position in range(len(statuses))]
    lasts = [*firsts[:-1], file.tf_last]
    TFSlice.objects.bulk_create(
        TFSlice(
            fastmon_file=file,
            run=sample.run,
            slice_id=position,
            tf_first=firsts[position],
            tf_last=lasts[position],
            tf_count=lasts[position] - firsts[position] + 1,
            status=status,
            reason="because",
            completed_at=when if status in ("done", "failed", "skipped") else None,
            lease_until=when if status == "claimed" else None,
            assigned_at=when if status == "claimed" else None,
        )
        for position, status in enumerate(statuses)
    )
    FastMonSample.objects.filter(pk=sample.pk).update(slicing=Slicing.CUT)


def test_a_file_stays_until_its_slices_are_final_for_long_enough() -> None:
    run = a_running_run(keep_seconds=60.0)
    samples = announced(run, 6)
    services.decide_samples([read(sample) for sample in samples])
    FastMonFile.objects.update(created_at=timezone.now() - timedelta(seconds=100))
    _waiting, at_work, claimed, just_done, done, skipped = samples
    cut(at_work, ["done", "queued"], ago=90)
    cut(claimed, ["claimed", "done"], ago=90)
    cut(just_done, ["done", "done"], ago=30)
    cut(done, ["done", "failed", "skipped"], ago=90)
    FastMonSample.objects.filter(pk=skipped.pk).update(slicing=Slicing.SKIPPED, slicing_reason="too many")
    removable = selectors.files_to_remove(limit=10)
    assert [file.sample.sequence for file in removable] == [done.sequence, skipped.sequence]
    assert len(selectors.files_to_remove(limit=1)) == 1


def test_removing_is_said_once() -> None:
    run = a_running_run(keep_seconds=0.0, slices_per_sample=0)
    services.decide_samples([read(sample) for sample in announced(run, 2)])
    ids = [file.pk for file in selectors.files_to_remove(limit=10)]
    assert services.mark_removed(ids) == 2
    assert services.mark_removed(ids) == 0
    assert selectors.files_to_remove(limit=10) == []
    assert set(FastMonFile.objects.values_list("status", flat=True)) == {TfFileStatus.REMOVED}
    assert run.journal.get(kind="tf_files_removed").payload == {"count": 2, "size_bytes": 2000}
