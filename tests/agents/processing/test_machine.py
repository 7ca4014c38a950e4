"""Brakes, sites that go down and come back, jobs of every fate, in any order: no STF is processed twice, none is lost."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from apps.agents.processing import killer
from apps.stf import selectors, services
from apps.stf.choices import ProcessingState, TaskCommand
from apps.stf.models import StfProcessing
from apps.stf.selectors import processing as processing_selectors
from tests.factories import an_stf, ended
from tests.machines import DatabaseMachine, explore
from tests.processing import BNL, JLAB

from .conftest import Site

MOST_STFS = 6
SITES = st.sampled_from([BNL, JLAB])


class Processing(DatabaseMachine):
    """One run and both agents; every rule is a step of one of them, of PanDA, of a pilot, or a person's decision."""

    @initialize(policy=st.sampled_from(["round-robin", "both"]))
    def begin(self, policy: str) -> None:
        self.site = Site()
        self.run = self.site.run(3, policy=policy)
        self.site.registrar.step()
        self.single = policy != "both"

    @rule(which=st.sampled_from(["allocator", "submitter", "follower", "killer", "commands"]))
    def an_agents_loop(self, which: str) -> None:
        getattr(self.site, which).step()
        if which == "allocator" and selectors.brakes_on().exists():
            assert not self._in_datasets()

    @rule()
    def all_loops(self) -> None:
        for which in ("allocator", "submitter", "commands", "follower", "killer"):
            self.an_agents_loop(which)

    @rule()
    def panda_looks(self) -> None:
        self.site.panda.see_datasets()

    @rule()
    def panda_works(self) -> None:
        self.site.panda.work_on_tasks()

    @rule()
    def pilots_finish(self) -> None:
        self.site.work()

    @rule()
    def everybody(self) -> None:
        self.site.turn()

    @rule(nth=st.integers(0, 5), status=st.sampled_from(["running", "finished", "failed"]))
    def pilot(self, nth: int, status: str) -> None:
        if jobs := self.site.panda.open_jobs():
            self.site.panda.set_job(jobs[nth % len(jobs)].panda_id, status, "no hits")

    @precondition(lambda self: self.run.expected_stf_count is None)
    @rule()
    def next_stf(self) -> None:
        if self.run.stf_files.count() < MOST_STFS:
            an_stf(self.run, self.run.stf_files.count() + 1)
            self.site.registrar.step()

    @rule()
    def end(self) -> None:
        ended(self.run, count=self.run.stf_files.count())
        self.run.refresh_from_db()

    @rule(name=SITES, down=st.booleans())
    def turn_site(self, name: str, *, down: bool) -> None:
        turn = services.site_down if down else services.site_up
        turn(name, by="ann", reason="flood")

    @rule(cancel=st.booleans(), everywhere=st.booleans())
    def brake(self, *, cancel: bool, everywhere: bool) -> None:
        number = None if everywhere else self.run.run_number
        services.brake_on(number, by="ann", reason="look", cancel=cancel)

    @rule()
    def release(self) -> None:
        for brake in selectors.brakes_on():
            number = brake.run.run_number if brake.run else None
            services.brake_off(number, by="ann", reason="fine")

    @rule()
    def retry(self) -> None:
        services.retry_failed(self.run, by="ann")

    @rule(name=SITES, command=st.sampled_from(TaskCommand))
    def command(self, name: str, command: TaskCommand) -> None:
        if self.run.tasks.filter(site=name, jedi_task_id__isnull=False).exists():
            services.request_command(self.run.run_number, name, command, by="ann")

    @invariant()
    def no_stf_is_processed_twice(self) -> None:
        finished = [job for job in self.site.panda.jobs_by_id.values() if job.status == "finished"]
        work = Counter(job.name if self.single else (job.name, job.task_id) for job in finished)
        assert not [what for what, count in work.items() if count > 1]

    @invariant()
    def what_is_done_is_told_once_and_stays_where_it_was_done(self) -> None:
        done = StfProcessing.objects.filter(run=self.run, state=ProcessingState.DONE)
        assert self.run.journal.filter(kind="stf_processed").count() == done.count()
        for processing in done:
            job = processing.jobs.get(status="finished")
            assert job.task.site == processing.site

    @invariant()
    def everything_that_is_left_has_a_reason(self) -> None:
        left = StfProcessing.objects.filter(run=self.run).exclude(state=ProcessingState.DONE)
        assert all(selectors.why_unprocessed(list(left)).values())

    def teardown(self) -> None:
        if hasattr(self, "site"):
            self._come_to_an_end()
        super().teardown()

    def _come_to_an_end(self) -> None:
        """With everything released and pilots that do their work, all is processed."""
        self.release()
        for name in (BNL, JLAB):
            self.turn_site(name, down=False)
        self.end()
        for _ in range(12):
            self.site.turn()
            self.site.work()
            self._later()
            self.retry()
        states = set(StfProcessing.objects.filter(run=self.run).values_list("state", flat=True))
        assert states == {ProcessingState.DONE}
        self.no_stf_is_processed_twice()

    def _later(self) -> None:
        for task in self.run.tasks.all():
            task.reload_at = None
            if task.command_done_at:
                task.command_done_at -= timedelta(minutes=1)
            task.save(update_fields=["reload_at", "command_done_at"])

    def _in_datasets(self) -> set[str]:
        """The STFs that are in an input dataset and not done."""
        names = {
            name
            for site in (BNL, JLAB)
            for name in self.site.rucio.members("", services.input_name(self.run, site))
        }
        ended = (ProcessingState.DONE, ProcessingState.FAILED)
        left = StfProcessing.objects.filter(run=self.run).exclude(state__in=ended)
        return names.intersection(left.values_list("stf__stf_filename", flat=True)) if self.single else set()


@pytest.mark.django_db
def test_whatever_happens_no_stf_is_processed_twice_and_none_is_lost(
    exit_buffer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(killer, "SETTLE", timedelta(0))
    monkeypatch.setattr(processing_selectors, "KILL_AGAIN", timedelta(0))
    explore(Processing, examples=6, steps=30)
