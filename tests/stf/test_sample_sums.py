"""The sums over the samples of a run: whatever is decided in whatever order, those kept in memory are those of the rows."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.stf.models import FastMonSample
from apps.stf.selectors import sample_sums as module
from apps.stf.selectors.sample_sums import SampleSums, sample_sums
from apps.stf.services.samples import SampleRead, decide_samples, skip_samples
from tests.fast import a_sampled_run, announced, not_sampled, sampled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def counted_anew(run: object) -> SampleSums:
    """The sums as a process that has just begun counts them."""
    kept = module._kept.pop(run.pk, None)  # type: ignore[attr-defined]
    sums = sample_sums(run)  # type: ignore[arg-type]
    if kept is None:
        module._kept.pop(run.pk)  # type: ignore[attr-defined]
    else:
        module._kept[run.pk] = kept  # type: ignore[attr-defined]
    return sums


@pytest.mark.parametrize("seed", range(4))
def test_they_are_those_of_the_rows_after_every_step(seed: int) -> None:
    choose = random.Random(seed)
    run = a_sampled_run(0)
    waiting: list[FastMonSample] = []
    for sequence in range(1, 25):
        match choose.choice(["announce", "announce", "sample", "decide", "decide", "skip"]):
            case "announce":
                waiting.append(announced(run, sequence))
            case "sample":
                sampled(run, sequence, corrupt=[sequence * 100 - 100] * choose.randint(0, 1))
            case "decide" if waiting:
                one = waiting.pop(choose.randrange(len(waiting)))
                decide_samples([SampleRead(sample_id=one.pk, failed="gone", bytes_read=5)])
            case "skip" if waiting:
                skip_samples(run, [waiting.pop(choose.randrange(len(waiting))).pk], reason=f"late {sequence}")
        if choose.random() < 0.7:
            assert sample_sums(run) == counted_anew(run)

    sums = sample_sums(run)
    assert sums == counted_anew(run)
    assert sum(sums.by_state.values()) == run.samples.count()
    assert sums.by_state["waiting"] == len(waiting)


def test_they_are_of_the_run_alone() -> None:
    other, run = a_sampled_run(2), a_sampled_run(1)
    sample_sums(other)
    not_sampled(other, 3, failed="gone")

    assert (sample_sums(run).tfs, sample_sums(other).tfs) == (20, 40)
    assert [last.reason for last in sample_sums(other).last_reasons] == ["gone"]
    assert sample_sums(run).last_reasons == ()


def test_only_what_is_new_is_read() -> None:
    run = a_sampled_run(3)
    sums = sample_sums(run)

    with CaptureQueriesContext(connection) as queries:
        assert sample_sums(run) == sums
    assert len(queries) == 1
    assert f">= {sums.upto}" in queries.captured_queries[0]["sql"]


def test_another_database_is_counted_from_its_beginning() -> None:
    run = a_sampled_run(2)
    sums = sample_sums(run)
    module._kept[run.pk] = replace(sums, tfs=10_000, upto=sums.upto + 1)

    assert sample_sums(run) == sums
