"""The figures of a run: counts that add up, rates, latencies, backlogs and gaps, in a fixed number of queries."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from apps.runs.models import Run
from apps.stf import services
from apps.stf.choices import ReplicaState
from apps.stf.models import FastMonSample, Replica, StfFile, StfProcessing
from apps.stf.selectors.run_statistics import MOST_RANGES, StageStatistics, run_statistics
from tests.factories import SITES, a_run, a_running_run, an_stf, change_replicas, ended, registered, verified
from tests.fast import a_sampled_run, not_sampled
from tests.processing import attach, process, submit
from tests.queries import count_queries

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def stages(run: Run) -> dict[tuple[str, str | None], StageStatistics]:
    """The stages of a run by name and place."""
    return {(stage.stage, stage.place): stage for stage in run_statistics(run).stages}


def aged(run: Run, *, step: float = 1.0, took: float = 2.0) -> None:
    """STFs that were closed `step` seconds apart, the first of them at the begin of physics an hour ago; each arrives at
    every stage `took` times its sequence later."""
    begin = timezone.now() - timedelta(hours=1)
    Run.objects.filter(pk=run.pk).update(start_time=begin)
    for stf in run.stf_files.all():
        closed = begin + timedelta(seconds=step * stf.sequence)
        there = closed + timedelta(seconds=took * stf.sequence)
        rows = StfFile.objects.filter(pk=stf.pk)
        rows.update(generated_at=closed)
        rows.filter(registered_at__isnull=False).update(registered_at=there)
        Replica.objects.filter(stf=stf, state="verified").update(verified_at=there)
        StfProcessing.objects.filter(stf=stf, state="done").update(done_at=there)
        FastMonSample.objects.filter(stf=stf, state="sampled").update(decided_at=there)
    run.refresh_from_db()


def test_of_a_run_without_stfs_there_is_nothing() -> None:
    found = run_statistics(a_run())

    assert [(one.stage, one.total, one.whole_run.stfs_per_second) for one in found.stages] == [
        ("generated", 0, None),
        ("registered", 0, None),
    ]
    assert (found.gaps.missing, found.gaps.ranges) == (0, [])


def test_the_counts_add_up() -> None:
    run = a_running_run(policy="both")
    verified(*(an_stf(run, sequence) for sequence in (1, 2)))
    [one] = registered(an_stf(run, 3))
    change_replicas([one], ReplicaState.FAILED, at=SITES[:1], reason="no space left")
    services.mark_registration_failed(run, {an_stf(run, 4).pk: "bad"})
    an_stf(run, 5)
    attach()
    submit()
    process(run, [1, 2], site="E1_BNL")

    found = stages(run)

    def figures(stage: str, place: str | None = None) -> tuple[int, int, int, int]:
        one = found[stage, place]
        assert one.total == one.done + one.waiting + one.failed + one.skipped
        return one.total, one.done, one.waiting, one.failed

    assert figures("generated") == (5, 5, 0, 0)
    assert figures("registered") == (5, 3, 1, 1)
    assert figures("verified", "E1_BNL") == (3, 2, 0, 1)
    assert figures("verified", "E1_JLAB") == (3, 2, 1, 0)
    assert figures("processed", "E1_BNL") == (3, 2, 1, 0)
    assert figures("processed", "E1_JLAB") == (3, 0, 3, 0)
    assert ("sampled", None) not in found
    sizes = dict(run.stf_files.values_list("sequence", "size_bytes"))
    assert found["verified", "E1_BNL"].size_bytes == sizes[1] + sizes[2]
    assert found["generated", None].size_bytes == sum(sizes.values())


def test_samples_that_are_skipped_are_told_apart() -> None:
    run = a_sampled_run(2)
    not_sampled(run, 3, skipped="too old")
    not_sampled(run, 4, failed="gone")

    one = stages(run)["sampled", None]

    assert (one.total, one.done, one.failed, one.skipped) == (4, 2, 1, 1)


def test_latencies_are_seconds_from_the_closed_stf() -> None:
    run = a_running_run(policy="round-robin")
    verified(*(an_stf(run, sequence) for sequence in range(1, 101)))
    aged(run, took=2)

    latency = stages(run)["verified", "E1_BNL"].latency

    assert latency is not None
    figures = [latency.p50, latency.p95, latency.p99, latency.max]
    assert figures == pytest.approx([101.0, 190.1, 198.02, 200.0])
    assert latency.stfs == 100
    assert stages(run)["generated", None].latency is None


def test_latencies_are_those_of_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.stf.selectors.run_statistics.LATENCY_STFS", 2)
    run = a_running_run()
    registered(*(an_stf(run, sequence) for sequence in range(1, 6)))
    aged(run, took=1)

    latency = stages(run)["registered", None].latency

    assert latency is not None
    assert (latency.stfs, latency.p50, latency.max) == (2, pytest.approx(4.5), pytest.approx(5.0))


def test_rates_are_of_the_run_and_of_the_last_minute() -> None:
    run = a_running_run()
    registered(*(an_stf(run, sequence) for sequence in range(1, 11)))
    aged(run, step=1, took=1)
    size = sum(run.stf_files.values_list("size_bytes", flat=True))

    found = stages(run)
    made, there = found["generated", None], found["registered", None]
    assert made.whole_run.stfs_per_second == pytest.approx(1.0)
    assert made.whole_run.bytes_per_second == pytest.approx(size / 10)
    assert there.whole_run.stfs_per_second == pytest.approx(0.5)
    assert there.last_minute.stfs_per_second == 0

    an_stf(run, 11)
    late = stages(run)["generated", None].last_minute
    assert late.stfs_per_second == pytest.approx(1 / 60)


def test_the_backlog_has_an_age() -> None:
    run = a_running_run(policy="both")
    registered(an_stf(run, 1))
    an_stf(run, 2)
    StfFile.objects.filter(run=run).update(generated_at=F("generated_at") - timedelta(seconds=30))
    StfFile.objects.filter(run=run, sequence=1).update(registered_at=timezone.now() - timedelta(seconds=20))
    Replica.objects.update(requested_at=timezone.now() - timedelta(seconds=10))

    found = stages(run)

    ages = [
        found[key].oldest_waiting_seconds
        for key in [("registered", None), ("verified", "E1_BNL"), ("processed", "E1_BNL")]
    ]
    assert ages == pytest.approx([30, 10, 20], abs=5)
    assert found["generated", None].oldest_waiting_seconds is None


def test_missing_sequences_are_listed_as_ranges() -> None:
    run = a_running_run()
    for sequence in (3, 4, 7):
        an_stf(run, sequence)

    def gaps() -> tuple[int, list[tuple[int, int]]]:
        found = run_statistics(run).gaps
        return found.missing, [(one.first, one.last) for one in found.ranges]

    assert gaps() == (4, [(1, 2), (5, 6)])
    ended(run, count=10)
    assert gaps() == (7, [(1, 2), (5, 6), (8, 10)])
    ended(run, count=5)
    assert gaps() == (3, [(1, 2), (5, 5)])


def test_the_list_of_ranges_has_an_end() -> None:
    run = a_running_run()
    for nth in range(MOST_RANGES + 5):
        an_stf(run, 2 * nth + 2)

    gaps = run_statistics(run).gaps

    assert (gaps.missing, len(gaps.ranges), gaps.ranges[-1].last) == (MOST_RANGES + 5, MOST_RANGES, 199)


@given(known=st.sets(st.integers(1, 30)), count=st.none() | st.integers(0, 35))
def _gaps_are_what_is_missing(run: Run, known: set[int], count: int | None) -> None:
    StfFile.objects.filter(run=run).delete()
    for sequence in known:
        an_stf(run, sequence)
    run.expected_stf_count = count
    gaps = run_statistics(run).gaps

    upto = max(known, default=0) if count is None else count
    listed = [nth for one in gaps.ranges for nth in range(one.first, one.last + 1)]
    assert listed == sorted(set(range(1, upto + 1)) - known)
    assert gaps.missing == len(listed)


def test_gaps_are_what_is_missing() -> None:
    _gaps_are_what_is_missing(a_running_run())


def test_a_long_run_takes_no_more_queries() -> None:
    short, long = a_running_run(), a_running_run()
    registered(an_stf(short))
    registered(*(an_stf(long, sequence) for sequence in range(1, 21)))

    assert count_queries(lambda: run_statistics(short)) == count_queries(lambda: run_statistics(long)) < 7


def test_rest_shows_the_figures() -> None:
    run = a_running_run()
    verified(an_stf(run, 1), an_stf(run, 3))
    aged(run)

    answer: Any = Client().get(f"/api/runs/{run.run_number}/statistics/").json()

    assert answer["run_number"] == run.run_number
    assert answer["gaps"] == {"missing": 1, "ranges": [{"first": 2, "last": 2}]}
    by_stage = {(one["stage"], one["place"]): one for one in answer["stages"]}
    one = by_stage["verified", "E1_BNL"]
    assert (one["total"], one["done"], one["latency"]["stfs"]) == (2, 2, 2)
    assert one["whole_run"]["stfs_per_second"] == pytest.approx(2 / 9)
    assert Client().get("/api/runs/7/statistics/").status_code == 404
