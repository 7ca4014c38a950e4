"""Slices: given out to workers, brought to an end once; and exact counts of them."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from apps.runs.errors import NotFound
from apps.stf import services
from apps.stf.models import FastRun, TFSlice
from apps.stf.services.slices import fair_shares
from tests.factories import kinds
from tests.slices import (
    a_sliced_run,
    counted,
    done,
    expire,
    failed,
    report,
    slice_of,
    states,
)


@given(free=st.integers(-5, 50), runs=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=5))
def test_free_places_go_to_the_runs_that_have_the_fewest(free: int, runs: list[tuple[int, int]]) -> None:
    given_out = {run: claimed for run, (claimed, _) in enumerate(runs)}
    queued = {run: left for run, (_, left) in enumerate(runs)}
    shares = fair_shares(free, given_out, queued)

    assert sum(shares.values()) == max(0, min(free, sum(queued.values())))
    for run, share in shares.items():
        assert share <= queued[run]
        for other, left in queued.items():
            assert (
                shares.get(other, 0) == left
                or given_out[run] + share <= given_out[other] + shares.get(other, 0) + 1
            )


@pytest.mark.django_db
@pytest.mark.usefixtures("exit_buffer")
class TestGivingOut:
    def test_none_is_given_out_before_a_worker_is_up(self) -> None:
        run = a_sliced_run()
        assert services.claim_slices(0) == []
        assert FastRun.objects.get(run=run).dispatching_since is None

        assert len(services.claim_slices(1)) == 2
        assert FastRun.objects.get(run=run).dispatching_since is not None
        assert run.journal.get(kind="dispatching_started").payload == {"workers": 1}

    def test_no_more_are_on_their_way_than_two_for_each_worker(self) -> None:
        run = a_sliced_run()
        assert [len(services.claim_slices(2)) for _ in range(2)] == [4, 0]
        assert counted(run) == states(run) == {"queued": 2, "claimed": 4}

    def test_of_short_slices_more_are_on_their_way(self) -> None:
        a_sliced_run(3, slice_processing_time=0.1)
        assert [len(services.claim_slices(2)) for _ in range(2)] == [10, 0]

    def test_no_more_than_the_workers_are_seen_to_do_however_short_they_are(self) -> None:
        a_sliced_run(6, slice_processing_time=0.1)
        done(*services.claim_slices(2), seconds=0.001)
        TFSlice.objects.filter(status="done").update(completed_at=timezone.now() - timedelta(seconds=5))

        assert len(services.claim_slices(2)) == 4

    def test_runs_take_turns(self) -> None:
        first, second = a_sliced_run(2), a_sliced_run(2)
        claimed = services.claim_slices(3)

        assert [one.run for one in claimed].count(first) == 3
        assert counted(second) == {"queued": 9, "claimed": 3}

    @pytest.mark.parametrize(("policy", "sequences"), [("all", [1, 1]), ("newest_first", [3, 3])])
    def test_the_policy_says_which_come_first(self, policy: str, sequences: list[int]) -> None:
        a_sliced_run(3, backlog_policy=policy)
        claimed = services.claim_slices(1)

        assert [one.fastmon_file.sample.sequence for one in claimed] == sequences

    def test_a_lease_covers_the_wait_for_those_before_it(self) -> None:
        a_sliced_run(slice_processing_time=30, lease_seconds=10)
        [one, _] = services.claim_slices(1)

        assert one.lease_until is not None
        assert one.assigned_at is not None
        assert (one.lease_until - one.assigned_at).total_seconds() == pytest.approx(70, abs=1)

    def test_what_was_not_sent_is_queued_again_and_was_no_try(self) -> None:
        run = a_sliced_run()
        claimed = services.claim_slices(1)
        done(claimed[0])
        services.give_back(claimed)

        assert counted(run) == states(run) == {"queued": 5, "done": 1}
        assert slice_of(claimed[1].req_id).retries == 0

    def test_the_lease_brings_back_what_nobody_speaks_of_three_times_at_most(self) -> None:
        run = a_sliced_run(slices_per_sample=2)
        for tries in (1, 2):
            expire(*services.claim_slices(1))
            assert services.return_expired() == 2
            assert set(TFSlice.objects.values_list("retries", "status")) == {(tries, "queued")}
        expire(*services.claim_slices(1))
        services.return_expired()

        assert counted(run) == states(run) == {"failed": 2}
        assert {one.reason for one in TFSlice.objects.all()} == {"its lease ended: no worker took it"}
        assert kinds(run, "slice_failed", "sample_processed") == ["slice_failed"] * 2 + ["sample_processed"]
        assert services.return_expired() == 0


@pytest.mark.django_db
@pytest.mark.usefixtures("exit_buffer")
class TestResults:
    def test_a_sample_is_processed_when_all_its_slices_are_through(self) -> None:
        run = a_sliced_run(2)
        claimed = services.claim_slices(6)
        assert done(*claimed[:-1], found={"hits": 7}, worker="worker-1") == []
        assert kinds(run, "sample_processed") == ["sample_processed"]
        done(claimed[-1])

        assert counted(run) == states(run) == {"done": 12}
        entries = run.journal.filter(kind="sample_processed").order_by("id")
        assert [entry.payload["sequence"] for entry in entries] == [1, 2]
        one = slice_of(claimed[0].req_id)
        assert (one.result, one.assigned_worker, one.processing_seconds) == ({"hits": 7}, "worker-1", 1.0)
        assert FastRun.objects.get(run=run).processing_seconds == pytest.approx(12.0)

    def test_a_result_that_comes_twice_counts_once(self) -> None:
        run = a_sliced_run()
        [one, other] = services.claim_slices(1)
        assert done(one) == []
        why = [f"{one}: a result came when it was done already"]
        assert (done(one), failed(one)) == (why, why)
        assert len(services.record_results([report(other), report(other)])) == 1
        assert counted(run) == {"queued": 4, "done": 2}

    def test_a_failure_is_tried_again_twice(self) -> None:
        run = a_sliced_run(slices_per_sample=2)
        for _ in range(3):
            assert failed(*services.claim_slices(1)) == []

        assert counted(run) == states(run) == {"failed": 2}
        assert {one.reason for one in TFSlice.objects.all()} == {"no memory"}
        payload = run.journal.filter(kind="slice_failed").first().payload
        assert (payload["retries"], payload["reason"]) == (3, "no memory")

    def test_a_late_good_result_of_an_earlier_try_counts(self) -> None:
        run = a_sliced_run()
        first = services.claim_slices(1)
        expire(*first)
        services.return_expired()
        done(first[0])  # while it is queued
        second = services.claim_slices(1)
        done(first[1])  # while it is claimed again

        assert first[1].req_id in {one.req_id for one in second}
        assert counted(run) == {"queued": 3, "claimed": 1, "done": 2}

    def test_a_late_failure_of_an_earlier_try_does_not(self) -> None:
        run = a_sliced_run(slices_per_sample=2)
        first = services.claim_slices(1)
        expire(*first)
        services.return_expired()
        assert failed(first[0]) == [f"{first[0]}: try 1 failed when it had been given up already"]
        services.claim_slices(1)
        assert len(failed(first[1])) == 1
        assert counted(run) == {"claimed": 2}
        assert set(TFSlice.objects.values_list("retries", flat=True)) == {1}

    def test_a_failure_that_does_not_say_which_try_it_was_is_the_present_one(self) -> None:
        a_sliced_run()
        [one, _] = services.claim_slices(1)
        assert failed(one, attempt=None) == []
        assert slice_of(one.req_id).retries == 1

    def test_one_for_an_unknown_slice_is_refused_and_nothing_is_applied(self) -> None:
        run = a_sliced_run()
        [one, _] = services.claim_slices(1)
        unknown = uuid4()
        with pytest.raises(NotFound, match=f"slice_result: no slice has the req_id {unknown}"):
            services.record_results([report(one), services.SliceReport(unknown, good=True)])
        assert counted(run) == {"queued": 4, "claimed": 2}
