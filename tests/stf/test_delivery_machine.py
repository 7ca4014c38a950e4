"""Deliveries of the DAQ and of Rucio, repeated and out of order: each effect once, and the journal counts them all."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from django.db.models import QuerySet
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from apps.runs.errors import DomainError
from apps.stf import services
from apps.stf.choices import BufferState, Registration, ReplicaState
from apps.stf.models import Replica, StfFile
from tests.factories import SITES, a_running_run, an_stf, change_replicas, ended, registered
from tests.machines import DatabaseMachine, explore

SEQUENCES = st.integers(1, 4)


class Delivery(DatabaseMachine):
    """One run whose STFs are announced, registered, copied, released and proved in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.run = a_running_run()
        self.verified: set[int] = set()

    @rule(sequence=SEQUENCES, version=st.integers(1, 2))
    def announced(self, sequence: int, version: int) -> None:
        """A second version has other bytes: it is taken only where nothing stands in its way."""
        known = self.run.stf_files.filter(sequence=sequence).first()
        try:
            stf = an_stf(self.run, sequence, content=b"x" * version)
            assert stf.size_bytes == version
        except DomainError:
            assert self.run.lifecycle == "closed" or (known and known.size_bytes != version)

    @rule(sequences=st.lists(SEQUENCES, min_size=1))
    def registered(self, sequences: list[int]) -> None:
        if stfs := self._stfs(sequences):
            registered(*stfs)

    @rule(sequence=SEQUENCES)
    def refused(self, sequence: int) -> None:
        services.mark_registration_failed(self.run, {stf.pk: "bad" for stf in self._stfs([sequence])})

    @rule(sequences=st.lists(SEQUENCES), state=st.sampled_from(ReplicaState), at=st.sampled_from(SITES))
    def copied(self, sequences: list[int], state: ReplicaState, at: str) -> None:
        change_replicas(self._stfs(sequences), state, at=[at], reason="no space left")

    @rule(sequences=st.lists(SEQUENCES))
    def released(self, sequences: list[int]) -> None:
        services.mark_released(self.run, [stf.pk for stf in self._stfs(sequences)])

    @rule(count=st.integers(0, 4))
    def ended(self, count: int) -> None:
        ended(self.run, count=count)
        services.evaluate(self.run)
        self.run.refresh_from_db()

    @invariant()
    def each_effect_is_one_row_and_one_entry(self) -> None:
        said = Counter(self.run.journal.values_list("kind", flat=True))
        rows = self._rows()
        assert {kind: said[kind] for kind in rows} == rows

    @invariant()
    def verified_is_for_ever(self) -> None:
        now = set(self._copies().filter(state=ReplicaState.VERIFIED).values_list("pk", flat=True))
        assert now >= self.verified
        self.verified = now

    @invariant()
    def only_what_is_safe_leaves_the_buffer(self) -> None:
        for stf in self.run.stf_files.exclude(buffer=BufferState.HELD):
            assert [copy.state for copy in stf.replicas.all()] == ["verified", "verified"]

    @invariant()
    def a_closed_run_is_safe(self) -> None:
        if self.run.lifecycle == "closed":
            safe = self.run.stf_files.exclude(buffer=BufferState.HELD)
            assert safe.count() == self.run.expected_stf_count

    def _rows(self) -> dict[str, int]:
        stfs = self.run.stf_files
        return {
            "stf_ready": stfs.filter(registration=Registration.REGISTERED).count(),
            "stf_replicated": self._copies().filter(state=ReplicaState.VERIFIED).count(),
            "stf_releasable": stfs.exclude(buffer=BufferState.HELD).count(),
            "stf_released": stfs.filter(buffer=BufferState.RELEASED).count(),
        }

    def _copies(self) -> QuerySet[Replica]:
        return Replica.objects.filter(stf__run=self.run)

    def _stfs(self, sequences: list[int]) -> list[StfFile]:
        return list(self.run.stf_files.filter(sequence__in=sequences))


@pytest.mark.django_db
def test_every_effect_happens_once_whatever_is_delivered(exit_buffer: Path) -> None:
    explore(Delivery)
