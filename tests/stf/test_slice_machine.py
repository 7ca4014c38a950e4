"""Slices in any order of events: counts exact, nothing twice, nothing stuck."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from apps.stf import services
from apps.stf.choices import OPEN_SLICE, BacklogPolicy, SliceState
from apps.stf.models import FastMonSample, FastRun, TFSlice
from tests.factories import a_running_run
from tests.machines import DatabaseMachine, explore
from tests.slices import SLICED, counted, done, expire, failed, heard, report, silence, states, to_cut

WORKERS = st.sampled_from(["worker-1", "worker-2"])
NTH = st.integers(0, 30)


class Slices(DatabaseMachine):
    """Two runs, whose slices are made, given out, processed and lost. `given` are all that a worker ever was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = [a_running_run(**SLICED | {"backlog_limit": 7}) for _ in range(2)]
        self.given: list[TFSlice] = []
        self.final: dict[int, str] = {}
        for run in self.runs:
            services.ensure_fast_run(run)

    @rule(which=st.integers(0, 1), blocks=st.integers(1, 2))
    def sampled(self, which: int, blocks: int) -> None:
        run = self.runs[which]
        if (made := FastMonSample.objects.filter(run=run).count()) < 6:
            to_cut(run, made + 1, blocks=blocks)

    @rule(limit=st.integers(1, 5))
    def cut(self, limit: int) -> None:
        services.cut_samples(limit)

    @rule()
    def shed(self) -> None:
        services.shed_backlogs()

    @rule(which=st.integers(0, 1), policy=st.sampled_from(BacklogPolicy.values))
    def policy(self, which: int, policy: str) -> None:
        services.set_backlog_policy(self.runs[which].run_number, policy, by="ann")

    @rule(workers=st.integers(0, 3))
    def claim(self, workers: int) -> None:
        self.given += services.claim_slices(workers)

    @precondition(lambda self: self.given)
    @rule(nth=NTH, worker=WORKERS)
    def heartbeat(self, nth: int, worker: str) -> None:
        one = self._given(nth)
        heard(worker, status="busy", req_id=one.req_id, attempt=one.retries + 1)

    @precondition(lambda self: self.given)
    @rule(nths=st.lists(NTH, min_size=1, max_size=4), good=st.booleans())
    def results(self, nths: list[int], good: bool) -> None:
        """New ones, late ones and repetitions."""
        (done if good else failed)(*(self._given(nth) for nth in nths))

    @precondition(lambda self: self.given)
    @rule(nth=NTH)
    def not_sent(self, nth: int) -> None:
        services.give_back([self._given(nth)])

    @precondition(lambda self: self.given)
    @rule(nths=st.lists(NTH, min_size=1, max_size=4))
    def expired(self, nths: list[int]) -> None:
        expire(*(self._given(nth) for nth in nths))
        services.return_expired()

    @rule(worker=WORKERS)
    def lost(self, worker: str) -> None:
        silence(worker)
        services.mark_lost()

    @invariant()
    def the_counts_are_those_of_the_rows(self) -> None:
        for run in self.runs:
            assert counted(run) == states(run)

    @invariant()
    def what_is_final_stays_as_it_is(self) -> None:
        ended = TFSlice.objects.exclude(status__in=OPEN_SLICE)
        now = dict(ended.values_list("pk", "status"))
        assert self.final.items() <= now.items()
        self.final = now

    @invariant()
    def three_tries_and_no_more(self) -> None:
        assert not TFSlice.objects.filter(retries__gt=3).exists()
        assert not TFSlice.objects.filter(retries=3).exclude(status__in=["failed", "done"]).exists()

    @invariant()
    def a_sample_is_said_to_be_processed_once_when_it_is(self) -> None:
        for run in self.runs:
            said = Counter(entry.payload["sequence"] for entry in run.journal.filter(kind="sample_processed"))
            cut = FastMonSample.objects.filter(run=run, slicing="cut")
            through = cut.exclude(files__slices__status__in=OPEN_SLICE).values_list("sequence", flat=True)
            assert said == Counter(set(through))

    @invariant()
    def nothing_is_stuck(self) -> None:
        """What a worker has is under a lease; all else is queued, for the next worker that comes."""
        assert not TFSlice.objects.filter(status=SliceState.CLAIMED, lease_until=None).exists()
        at_work = FastRun.objects.filter(drained_at__isnull=True).values("run")
        assert not TFSlice.objects.filter(status__in=OPEN_SLICE).exclude(run__in=at_work).exists()

    def teardown(self) -> None:
        try:
            self._work_it_off()
        finally:
            super().teardown()

    def _work_it_off(self) -> None:
        """With workers that do their work, everything comes to its end."""
        while services.cut_samples() or services.shed_backlogs():
            pass
        expire(*TFSlice.objects.all())
        services.return_expired()
        while claimed := services.claim_slices(4):
            services.record_results([report(one) for one in claimed])
        assert not TFSlice.objects.filter(status__in=OPEN_SLICE).exists()
        self.a_sample_is_said_to_be_processed_once_when_it_is()

    def _given(self, nth: int) -> TFSlice:
        return self.given[nth % len(self.given)]


@pytest.mark.django_db
def test_slices_survive_everything_that_can_happen(exit_buffer: Path) -> None:
    explore(Slices, examples=25, steps=30)
