"""Slices: cut from samples, given out to workers, brought to an end once; and exact counts of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from apps.runs.errors import DomainError, NotFound
from apps.stf import selectors, services
from apps.stf.models import FastMonSample, FastRun, TFSlice
from apps.stf.services.slice_cutting import is_kept, shared_out
from apps.stf.services.slices import fair_shares
from tests.factories import a_running_run, ended, kinds, registered
from tests.slices import (
    SLICED,
    a_sliced_run,
    counted,
    done,
    expire,
    failed,
    heard,
    report,
    slice_of,
    states,
    to_cut,
)

COUNTS = st.lists(st.integers(0, 30), max_size=8)


@given(total=st.integers(0, 200), room=COUNTS)
def test_what_is_shared_out_is_even_and_as_much_as_there_is_room_for(total: int, room: list[int]) -> None:
    shares = shared_out(total, room)

    assert sum(shares) == min(total, sum(room))
    assert all(share <= most for share, most in zip(shares, room, strict=True))
    not_full = [share for share, most in zip(shares, room, strict=True) if share < most]
    assert not not_full or max(shares) - min(not_full) <= 1


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


@given(open_slices=st.integers(0, 500), limit=st.integers(1, 200))
def test_sampling_down_keeps_less_the_more_waits(open_slices: int, limit: int) -> None:
    kept = [sequence for sequence in range(64) if is_kept(sequence, open_slices, limit)]
    kept_with_more = [sequence for sequence in range(64) if is_kept(sequence, open_slices + 1, limit)]

    assert set(kept_with_more) <= set(kept)
    assert len(kept) == 64 if open_slices <= limit else len(kept) <= 32
    if open_slices >= 2 * limit:
        assert not kept


@pytest.mark.django_db
@pytest.mark.usefixtures("exit_buffer")
class TestCutting:
    def test_the_slices_of_a_sample_are_shared_over_its_files_and_cover_them(self) -> None:
        run = a_running_run(**SLICED | {"slices_per_sample": 5})
        to_cut(run, 1, length=7)
        assert services.cut_samples() == 1

        ranges = TFSlice.objects.order_by("pk").values_list("slice_id", "tf_first", "tf_last", "tf_count")
        assert list(ranges) == [
            (0, 1000, 1001, 2),
            (1, 1002, 1003, 2),
            (2, 1004, 1006, 3),
            (0, 1100, 1102, 3),
            (1, 1103, 1106, 4),
        ]
        assert counted(run) == states(run) == {"queued": 5}
        entry = run.journal.get(kind="slices_created")
        assert entry.payload == {"count": 5, "samples": 1, "sequences": [1]}

    @pytest.mark.parametrize(("wanted", "made"), [(1, 2), (2, 2), (7, 7), (100, 10)])
    def test_a_file_has_one_slice_at_least_and_no_more_than_its_tfs(self, wanted: int, made: int) -> None:
        assert counted(a_sliced_run(slices_per_sample=wanted)) == {"queued": made}

    def test_samples_of_several_runs_are_cut_together_once(self) -> None:
        first, second = (a_running_run(**SLICED) for _ in range(2))
        to_cut(first, 1, 2)
        to_cut(second, 1)

        assert (services.cut_samples(), services.cut_samples()) == (3, 0)
        assert (counted(first), counted(second)) == ({"queued": 12}, {"queued": 6})

    def test_no_more_samples_than_asked_for_are_cut_the_oldest_first(self) -> None:
        run = a_running_run(**SLICED)
        to_cut(run, 1, 2, 3)
        services.cut_samples(2)

        slicing = FastMonSample.objects.order_by("sequence").values_list("slicing", flat=True)
        assert list(slicing) == ["cut", "cut", "waiting"]

    def test_with_sample_down_some_are_not_cut_once_too_many_wait(self) -> None:
        run = a_running_run(**SLICED | {"backlog_policy": "sample_down", "backlog_limit": 12})
        to_cut(run, *range(1, 20))
        services.cut_samples()

        cut = FastMonSample.objects.filter(slicing="cut").values_list("sequence", flat=True)
        assert list(cut) == [1, 2, 3, 8]
        skipped = FastMonSample.objects.filter(slicing="skipped").first()
        assert skipped is not None
        assert skipped.slicing_reason == "more than 12 slices wait for workers (policy sample_down)"
        entry = run.journal.get(kind="slicing_skipped")
        assert (entry.payload["samples"], entry.payload["sequences"][0]) == (15, 4)
        assert selectors.slicing_reasons(run) == [(skipped.slicing_reason, 15)]

    def test_with_newest_first_the_oldest_beyond_the_limit_are_skipped(self) -> None:
        run = a_sliced_run(3, backlog_policy="newest_first", backlog_limit=8)
        assert (services.shed_backlogs(), services.shed_backlogs()) == (10, 0)

        assert counted(run) == states(run) == {"queued": 8, "skipped": 10}
        kept = TFSlice.objects.filter(status="queued").values_list("pk", flat=True)
        assert min(kept) > max(TFSlice.objects.filter(status="skipped").values_list("pk", flat=True))
        assert run.journal.get(kind="slices_skipped").payload["count"] == 10
        outcome = run.journal.get(kind="sample_processed").payload
        assert outcome == {"sequence": 1, "done": 0, "failed": 0, "skipped": 6}
        assert [(one.status, one.count) for one in selectors.slice_reasons(run)] == [("skipped", 10)]

    def test_a_policy_that_is_changed_holds_for_those_that_wait(self) -> None:
        run = a_sliced_run(3, backlog_limit=8)
        assert services.shed_backlogs() == 0
        services.set_backlog_policy(run.run_number, "newest_first", by="ann")
        services.set_backlog_policy(run.run_number, "newest_first", by="ann")

        assert services.shed_backlogs() == 10
        entry = run.journal.get(kind="backlog_policy_changed")
        assert (entry.actor, entry.payload) == ("ann", {"before": "all", "policy": "newest_first"})

    @pytest.mark.parametrize(
        ("policy", "by", "error"),
        [
            ("oldest_first", "ann", "there is no backlog policy 'oldest_first'; there are all, newest_first"),
            ("all", " ", "changing the policy needs a name"),
        ],
    )
    def test_a_policy_that_cannot_be_is_refused(self, policy: str, by: str, error: str) -> None:
        with pytest.raises(DomainError, match=error):
            services.set_backlog_policy(a_running_run(**SLICED).run_number, policy, by=by)

    def test_a_run_without_slices_has_no_policy(self) -> None:
        with pytest.raises(DomainError, match="has no slices: its workflow samples or cuts nothing"):
            services.set_backlog_policy(a_running_run().run_number, "all", by="ann")
        with pytest.raises(NotFound):
            services.set_backlog_policy(1, "all", by="ann")


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


@pytest.mark.django_db
@pytest.mark.usefixtures("exit_buffer")
class TestTheEnd:
    def finish(self, run: Any) -> None:
        while claimed := services.claim_slices(5):
            done(*claimed)

    def test_a_run_is_drained_when_it_has_ended_and_nothing_of_it_is_left(self) -> None:
        run = a_sliced_run()
        registered(*run.stf_files.all())
        assert not services.mark_drained(run, stop=[])
        self.finish(run)
        assert not services.mark_drained(run, stop=[])
        ended(run, count=1)
        assert services.mark_drained(run, stop=["worker-1"])
        assert services.mark_drained(run, stop=["worker-1"])

        entry = run.journal.get(kind="stop_transformer")
        assert entry.payload["content"]["worker_ids"] == ["worker-1"]
        assert list(selectors.fast_runs_at_work()) == []

    def test_an_stf_that_is_not_sampled_yet_is_waited_for(self) -> None:
        run = a_sliced_run()
        self.finish(run)
        from tests.factories import an_stf

        an_stf(run, 2)
        assert not services.mark_drained(ended(run, count=2), stop=[])

    def test_one_that_comes_after_the_end_has_its_slices_too(self) -> None:
        run = ended(a_sliced_run(), count=1)
        self.finish(run)
        assert services.mark_drained(run, stop=[])
        to_cut(run, 2)
        services.cut_samples()

        assert [fast.run for fast in selectors.fast_runs_at_work()] == [run]
        assert len(services.claim_slices(1)) == 2

    def test_workers_are_announced_once_and_only_for_slices(self) -> None:
        run, without = a_running_run(**SLICED, target_worker_count=3), a_running_run()
        for _ in range(2):
            services.announce_workers(run)
            services.announce_workers(without)

        content = run.journal.get(kind="run_imminent_worker").payload["content"]
        assert (content["target_worker_count"], content["core_count"]) == (3, 3)
        assert kinds(without, "run_imminent_worker") == []

    def test_how_many_workers_are_wanted_is_said_when_it_changes(self) -> None:
        run = a_sliced_run()
        for wanted in (2, 2, 1):
            services.set_wanted_workers(run, wanted, {"backlog": 6})

        entries = run.journal.filter(kind="workers_wanted").order_by("id")
        assert [(entry.payload["before"], entry.payload["wanted"]) for entry in entries] == [(0, 2), (2, 1)]


@pytest.mark.django_db
@pytest.mark.usefixtures("exit_buffer")
class TestBacklog:
    def test_it_says_what_waits_for_how_long_and_until_when(self) -> None:
        run = a_sliced_run(2, slice_processing_time=2.0)
        heard()
        services.claim_slices(1)
        backlog = selectors.backlog(FastRun.objects.get(run=run))

        assert (backlog.queued, backlog.claimed, backlog.open, backlog.workers_up) == (10, 2, 12, 1)
        assert backlog.arrival_rate == pytest.approx(1.2)
        assert backlog.slice_seconds == 2.0
        assert backlog.seconds_to_drain is None  # 1.2 come in a second, and 0.5 go
        assert 0 <= backlog.oldest_seconds < 5
        assert backlog.waits_for == ""

    def test_a_worker_that_is_kept_from_work_is_not_taken_for_a_fast_one(self) -> None:
        run = a_sliced_run(2)
        heard()
        done(*services.claim_slices(1))
        TFSlice.objects.filter(status="done").update(completed_at=timezone.now() - timedelta(seconds=5))
        backlog = selectors.backlog(FastRun.objects.get(run=run))

        assert backlog.finish_rate == pytest.approx(0.4, rel=0.05)
        assert backlog.slice_seconds == pytest.approx(1.0)
        assert backlog.worker_seconds == pytest.approx(2.5, rel=0.05)  # two in five seconds of one worker

    def test_without_worker_it_says_who_has_to_start_one(self) -> None:
        reasons = {
            workers: selectors.backlog(FastRun.objects.get(run=a_sliced_run(workers=workers))).waits_for
            for workers in ("local", "panda", "external")
        }
        assert reasons == {
            "local": "a worker to be up",
            "panda": "a worker to be up: PanDA has none running",
            "external": "a worker to be up: somebody has to start one (swf-testbed worker)",
        }

    def test_an_empty_one_is_drained(self) -> None:
        run = a_sliced_run()
        TestTheEnd().finish(run)
        backlog = selectors.backlog(FastRun.objects.get(run=run))
        assert (backlog.open, backlog.seconds_to_drain, backlog.oldest_at) == (0, 0.0, None)
        assert backlog.slice_seconds == pytest.approx(1.0)
