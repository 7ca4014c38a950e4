"""The journal alone tells what the tables told, at every moment of any history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from uuid_utils.compat import uuid7

from apps.agents.bus.relay import sequence
from apps.runs import journal
from apps.runs import services as runs
from apps.runs.choices import RunLifecycle
from apps.runs.core_states import transitions_from
from apps.runs.errors import DomainError
from apps.runs.history import Moment
from apps.runs.models import Run
from apps.runs.selectors import get_run, newest_position
from apps.stf import services
from apps.stf.choices import OPEN_SLICE, ReplicaState, SampleState
from apps.stf.models import FastMonSample, FastRun, StfFile, StfProcessing, TFSlice
from apps.stf.selectors import stage_counts
from apps.stf.selectors.past import RunPast, changes_of, past_of
from apps.stf.services import SampleRead
from tests.factories import SITES, a_run, a_running_run, an_stf, change_replicas, registered
from tests.machines import DatabaseMachine, explore
from tests.processing import attach, process, submit
from tests.queries import count_queries
from tests.slices import SLICED, done, failed, to_cut

SEQUENCES = st.lists(st.integers(1, 4), min_size=1, max_size=4)
VERDICTS = [RunLifecycle.CLOSED, RunLifecycle.INCOMPLETE, RunLifecycle.ABORTED]
Facts = dict[str, Any]


def told(past: RunPast) -> Facts:
    """What the journal says, in the words of `in_tables`."""
    counts = past.counts
    return {
        "run": (past.told.lifecycle.value, past.told.state, past.told.substate),
        "expected": past.told.expected_stf_count,
        "archived": (counts.generated, counts.registered, counts.failed, counts.releasable, counts.released),
        "verified": counts.verified,
        "processed": counts.processed,
        "samples": (counts.samples.sampled, counts.samples.skipped, counts.samples.failed),
        "slices": counts.slices.created,
        "ended": [counts.slices.done, counts.slices.failed, counts.slices.skipped],
    }


def in_tables(run_number: int) -> Facts:
    """What the rows say now."""
    run = get_run(run_number)
    counts = stage_counts(run)
    states = [SampleState.SAMPLED, SampleState.SKIPPED, SampleState.FAILED]
    samples = FastMonSample.objects.filter(run=run)
    fast = FastRun.objects.filter(run=run).first()
    return {
        "run": (run.lifecycle, run.state, run.substate),
        "expected": run.expected_stf_count,
        "archived": (counts.generated, counts.registered, counts.failed, counts.releasable, counts.released),
        "verified": counts.verified,
        "processed": {site: count for site, count in counts.processed.items() if count},
        "samples": tuple(samples.filter(state=state).count() for state in states),
        "slices": fast.slices_created if fast else 0,
        "ended": _ended(run),
    }


def _ended(run: Run) -> list[int]:
    """Done, failed and skipped slices of the samples whose slices have all ended."""
    slices = TFSlice.objects.filter(run=run)
    at_work = slices.filter(status__in=OPEN_SLICE).values("fastmon_file__sample")
    states = Counter(slices.exclude(fastmon_file__sample__in=at_work).values_list("status", flat=True))
    return [states["done"], states["failed"], states["skipped"]]


class Past(DatabaseMachine):
    """A run to which anything may happen, and another one. After each step, the facts are noted with the moment."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = timezone.now()
        self.noted: list[tuple[int, datetime, Facts]] = []

    @initialize(made=st.sampled_from([a_run, a_running_run]))
    def requested(self, made: Callable[..., Run]) -> None:
        self.run = made(**SLICED, policy="round-robin")
        self.other = a_run()

    @rule(data=st.data())
    def the_next_state(self, data: st.DataObject) -> None:
        """More often than not towards physics, and on from there."""
        if ways := transitions_from((self.run.state, self.run.substate)):
            self._do(runs.advance, self.run.run_number, data.draw(st.sampled_from(ways)).after)

    @rule(sequences=SEQUENCES)
    def registered(self, sequences: list[int]) -> None:
        if stfs := self._announced(sequences):
            registered(*stfs)

    @rule(sequences=SEQUENCES)
    def refused(self, sequences: list[int]) -> None:
        stfs = self._announced(sequences)
        services.mark_registration_failed(self.run, {stf.pk: "bad" for stf in stfs})

    @rule()
    def retried(self) -> None:
        services.retry_failed(self.run, by="ann")

    @rule(sequences=SEQUENCES)
    def one_retried(self, sequences: list[int]) -> None:
        for stf in self.run.stf_files.filter(sequence__in=sequences):
            self._do(services.retry_registration, stf)

    @rule(sequences=SEQUENCES, state=st.sampled_from(ReplicaState), at=st.sampled_from([SITES, SITES[:1]]))
    def copied(self, sequences: list[int], state: ReplicaState, at: list[str]) -> None:
        self.registered(sequences)
        change_replicas(self._announced(sequences), state, at=at, reason="no space left")

    @rule(sequences=SEQUENCES)
    def released(self, sequences: list[int]) -> None:
        services.mark_released(self.run, [stf.pk for stf in self._announced(sequences)])

    @rule(sequences=SEQUENCES)
    def processed(self, sequences: list[int]) -> None:
        self.copied(sequences, ReplicaState.VERIFIED, SITES)
        attach()
        submit()
        places = StfProcessing.objects.filter(run=self.run, stf__sequence__in=sequences)
        for place in places.select_related("stf"):
            process(self.run, [place.stf.sequence], site=place.site)

    @rule(sequences=SEQUENCES, became=st.sampled_from(["sampled", "skipped", "failed"]))
    def looked_at(self, sequences: list[int], became: str) -> None:
        stfs = self._announced(sequences)
        if became == "sampled":
            self._do(to_cut, self.run, *(stf.sequence for stf in stfs))
            return
        services.announce_samples(stf.stf_filename for stf in stfs)
        ids = list(FastMonSample.objects.filter(stf__in=stfs).values_list("pk", flat=True))
        if became == "skipped":
            services.skip_samples(self.run, ids, reason="too old")
        else:
            services.decide_samples([SampleRead(sample_id=pk, failed="gone") for pk in ids])

    @rule(good=st.booleans(), workers=st.integers(1, 3))
    def sliced(self, workers: int, *, good: bool) -> None:
        services.cut_samples()
        slices = services.claim_slices(workers)
        (done if good else failed)(*slices)

    @rule(count=st.integers(0, 4), aborted=st.booleans())
    def ended(self, count: int, *, aborted: bool) -> None:
        runs.end_run(self.run.run_number, total_stf_files=count, aborted=aborted)

    @rule(verdict=st.sampled_from(VERDICTS))
    def closed(self, verdict: RunLifecycle) -> None:
        runs.close(self.run.run_number, verdict=verdict, proof={})

    @rule()
    def closed_by_force(self) -> None:
        self._do(services.force_close, self.run.run_number, by="ann", reason="enough")

    @invariant()
    def the_journal_tells_what_the_tables_tell(self) -> None:
        self.run.refresh_from_db()
        while sequence():
            pass
        facts = in_tables(self.run.run_number)
        self.noted.append((newest_position(), timezone.now(), facts))
        assert self._told(Moment(at=timezone.now())) == facts

    def teardown(self) -> None:
        try:
            for position, at, facts in self.noted:
                assert [self._told(Moment(position=position)), self._told(Moment(at=at))] == [facts, facts]
            assert not past_of([self.run], Moment(at=self.begun))
        finally:
            super().teardown()

    def _told(self, moment: Moment) -> Facts:
        both = past_of([self.run, self.other], moment)
        return told(both[self.run.pk])

    def _announced(self, sequences: list[int]) -> list[StfFile]:
        """These STFs, as far as the run takes them, of which the DAQ says once more that they are there."""
        for nth in sequences:
            with journal.acting_as("daq", heard=journal.Heard("stf_gen", uuid7(), "daq")):
                self._do(an_stf, self.run, nth)
        return list(self.run.stf_files.filter(sequence__in=sequences))

    def _do(self, what: Any, *arguments: Any, **named: Any) -> None:
        """Something that may be refused, and then changes nothing."""
        with suppress(DomainError):
            what(*arguments, **named)


@pytest.mark.django_db
def test_what_was_is_told_by_the_journal_alone(exit_buffer: Path) -> None:
    explore(Past, examples=10, steps=20)


@pytest.mark.django_db
def test_what_differs_is_told_with_before_and_after(exit_buffer: Path) -> None:
    run = a_run()
    since = Moment(at=timezone.now())
    runs.advance(run.run_number, ("no_beam", "not_ready"))
    runs.advance(run.run_number, ("beam", "not_ready"))
    [change] = changes_of([get_run(run.run_number)], since, Moment(at=timezone.now()))

    assert change.changed == {
        "lifecycle": ("requested", "imminent"),
        "state": ("off", "beam"),
        "substate": ("", "not_ready"),
    }


@pytest.mark.django_db
def test_of_a_run_that_was_not_known_all_is_new() -> None:
    a_run()
    since = Moment(at=timezone.now())
    run = a_run()
    [change] = changes_of([get_run(run.run_number)], since, Moment(at=timezone.now()))

    assert change.changed["lifecycle"] == (None, "requested")
    assert change.changed["counts.verified.E1_BNL"] == (None, 0)


@pytest.mark.django_db
def test_what_is_said_of_a_time_before_a_run_makes_no_run() -> None:
    begin = timezone.now()
    run = a_run()
    runs.note_state_event("seen", by="ann", run_number=run.run_number, occurred_at=begin)

    assert past_of([get_run(run.run_number)], Moment(at=begin)) == {}
    assert past_of([get_run(run.run_number)], Moment(at=timezone.now()))[run.pk].entries == 2


@pytest.mark.django_db
def test_many_runs_take_as_many_queries_as_one() -> None:
    some = [get_run(a_run().run_number) for _ in range(4)]
    now = Moment(at=timezone.now())

    assert count_queries(lambda: past_of(some[:1], now)) == count_queries(lambda: past_of(some, now)) < 7
