"""Whatever is said of a run, in any order and however often: its lifecycle stays on the table, its journal tells all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from apps.runs import services
from apps.runs.choices import LIFECYCLE_MOVES, SETTLED, TAKING_DATA, RunLifecycle
from apps.runs.core_states import LEGAL_PAIRS, transition, transitions_from
from apps.runs.errors import DomainError, TransitionRefused
from tests.factories import a_run
from tests.machines import DatabaseMachine, explore

PAIRS = sorted((str(state), str(substate)) for state, substate in LEGAL_PAIRS)
VERDICTS = [RunLifecycle.CLOSED, RunLifecycle.INCOMPLETE, RunLifecycle.ABORTED]
COUNTS = st.integers(0, 3)


class Lifecycle(DatabaseMachine):
    """Counts the real changes by itself and compares with the journal."""

    def __init__(self) -> None:
        super().__init__()
        self.run = a_run()
        self.changes = 1
        self.lifecycle = self.run.lifecycle

    @rule(data=st.data())
    def the_next_state(self, data: st.DataObject) -> None:
        ways = transitions_from((self.run.state, self.run.substate))
        if ways:
            self._advance(data.draw(st.sampled_from(ways)).after)

    @rule(pair=st.sampled_from(PAIRS))
    def any_state(self, pair: tuple[str, str]) -> None:
        self._advance(pair)

    @rule(count=COUNTS, aborted=st.booleans())
    def end_run(self, count: int, aborted: bool) -> None:
        self.changes += self.run.lifecycle in TAKING_DATA or self.run.expected_stf_count != count
        services.end_run(self.run.run_number, total_stf_files=count, aborted=aborted)

    @precondition(lambda self: self.run.lifecycle not in TAKING_DATA)
    @rule(verdict=st.sampled_from(VERDICTS))
    def close(self, verdict: RunLifecycle) -> None:
        self.changes += services.close(self.run.run_number, verdict=verdict, proof={})

    @rule()
    def force_close(self) -> None:
        try:
            services.force_close(self.run.run_number, by="ann", reason="no more to come", proof={})
            self.changes += 1
        except DomainError:
            assert self.run.lifecycle in TAKING_DATA | SETTLED

    @rule(control=st.sampled_from(["pause", "resume", "stop", "abort"]))
    def control(self, control: services.Control) -> None:
        try:
            services.control_run(self.run.run_number, control, by="ann")
            self.changes += 1
        except DomainError:
            assert self.run.lifecycle not in TAKING_DATA

    def _advance(self, pair: tuple[str, str]) -> None:
        """A change is an entry; a refusal is none, nor a state that is in force already."""
        before: tuple[str, str] = (self.run.state, self.run.substate)
        try:
            services.advance(self.run.run_number, pair)
            assert before == pair or transition(before, pair)
            self.changes += before != pair
        except TransitionRefused:
            self.run.refresh_from_db()
            assert (self.run.state, self.run.substate) == before

    @invariant()
    def the_lifecycle_moves_along_its_table(self) -> None:
        self.run.refresh_from_db()
        if self.run.lifecycle != self.lifecycle:
            assert self.run.lifecycle in LIFECYCLE_MOVES[RunLifecycle(self.lifecycle)]
            self.lifecycle = self.run.lifecycle

    @invariant()
    def what_has_ended_has_its_count_and_its_time(self) -> None:
        over = self.run.lifecycle not in TAKING_DATA
        facts: list[Any] = [self.run.expected_stf_count, self.run.end_time]
        assert [fact is not None for fact in facts] == [over, over]
        assert (self.run.closed_at is not None) is (self.run.lifecycle in SETTLED)

    @invariant()
    def every_change_is_one_entry(self) -> None:
        assert self.run.journal.count() == self.changes


@pytest.mark.django_db
def test_a_run_survives_everything_that_can_be_said_of_it() -> None:
    explore(Lifecycle)
