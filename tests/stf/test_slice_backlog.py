"""The end of the slices of a run, and what waits until then."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.stf import selectors, services
from apps.stf.models import FastRun, TFSlice
from tests.factories import a_running_run, an_stf, ended, kinds, registered
from tests.slices import SLICED, a_sliced_run, done, heard, to_cut


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
        since = timezone.now() - timedelta(seconds=5)
        TFSlice.objects.filter(status="done").update(completed_at=since)
        backlog = selectors.backlog(FastRun.objects.get(run=run))
        passed = (timezone.now() - since).total_seconds()

        # Two in five seconds of one worker, and in what has passed meanwhile.
        assert 2 / passed <= backlog.finish_rate <= 0.4
        assert backlog.slice_seconds == pytest.approx(1.0)
        assert 2.5 <= backlog.worker_seconds <= passed / 2

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
