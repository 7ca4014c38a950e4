"""Positions of the journal: without gaps, in the order of visibility, so that a follower misses and doubles nothing."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from django.db import connection, transaction
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from apps.agents.bus.relay import BATCH, sequence
from apps.runs import journal
from apps.runs.models import JournalEntry
from apps.runs.selectors import entries_after, newest_position, unsequenced_since
from tests.agents.worker.process import wait_until
from tests.machines import explore
from tests.parallel import PATIENCE, in_parallel

pytestmark = pytest.mark.django_db(transaction=True)

WRITERS = st.integers(0, 2)


class Writer:
    """A transaction on a connection of its own, opened and ended at will."""

    def __init__(self, number: int) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._name = f"writer-{number}"
        self._transaction: transaction.Atomic | None = None
        self.written: list[int] = []

    @property
    def is_open(self) -> bool:
        return self._transaction is not None

    def begin(self) -> None:
        self._transaction = transaction.atomic()
        self._in_thread(self._transaction.__enter__)

    def write(self) -> None:
        self.written.append(self._in_thread(self._record))

    def write_soon(self) -> Future[int]:
        """Begin to write; the id, once it is written."""
        return self._thread.submit(self._record)

    def end(self, *, commit: bool) -> list[int]:
        """End the transaction; the ids that it made visible."""
        assert self._transaction is not None
        if not commit:
            self._in_thread(lambda: transaction.set_rollback(True))
        leave = self._transaction.__exit__
        self._in_thread(lambda: leave(None, None, None))
        visible, self.written, self._transaction = (self.written if commit else []), [], None
        return visible

    def close(self) -> None:
        # Not `connection.close`: that would be the connection of the calling thread.
        self._in_thread(lambda: connection.close())
        self._thread.shutdown()

    def _record(self) -> int:
        with journal.acting_as(self._name):
            return journal.record(journal.Change("note")).pk

    def _in_thread(self, call):  # type: ignore[no-untyped-def]
        return self._thread.submit(call).result(PATIENCE)


class Follower:
    """Reads as the bus and the live pages do: what is beyond the position it has come to."""

    def __init__(self) -> None:
        self.first = self.position = newest_position()
        self.seen: list[int] = []

    def read(self) -> None:
        for entry in entries_after(self.position, limit=2):
            assert entry.position == self.position + 1
            self.position = entry.position
            self.seen.append(entry.pk)


class Interleavings(RuleBasedStateMachine):
    """Transactions that begin, write and end in any order, a relay and a follower that look in between."""

    def __init__(self) -> None:
        super().__init__()
        self.writers = [Writer(number) for number in range(3)]
        self.follower = Follower()
        self.committed: list[int] = []

    @rule(writer=WRITERS)
    def write(self, writer: int) -> None:
        if not self.writers[writer].is_open:
            self.writers[writer].begin()
        self.writers[writer].write()

    @rule(writer=WRITERS, commit=st.booleans())
    def end(self, writer: int, commit: bool) -> None:
        if self.writers[writer].is_open:
            self.committed += self.writers[writer].end(commit=commit)

    @rule()
    def sequence(self) -> None:
        sequence()

    @precondition(lambda self: self.committed)
    @rule()
    def read(self) -> None:
        self.follower.read()

    @invariant()
    def nothing_is_seen_twice_or_before_its_commit(self) -> None:
        assert len(set(self.follower.seen)) == len(self.follower.seen)
        assert set(self.follower.seen) <= set(self.committed)

    def teardown(self) -> None:
        try:
            for writer in self.writers:
                if writer.is_open:
                    self.committed += writer.end(commit=True)
            sequence()
            while len(self.follower.seen) < newest_position() - self.follower.first:
                self.follower.read()
            assert sorted(self.follower.seen) == sorted(self.committed)
        finally:
            for writer in self.writers:
                writer.close()


def test_a_follower_misses_nothing_whatever_the_order_of_commits() -> None:
    explore(Interleavings, examples=40, steps=25)


def test_an_entry_that_commits_late_comes_after_those_that_were_seen() -> None:
    slow, quick = Writer(1), Writer(2)
    slow.begin()
    slow.write()
    quick.begin()
    quick.write()
    [early] = quick.end(commit=True)
    sequence()
    [late] = slow.end(commit=True)
    sequence()
    slow.close()
    quick.close()

    assert late < early
    assert [entry.pk for entry in entries_after(0, limit=9)] == [early, late]


def test_a_stream_has_its_order_though_a_writer_waits_for_another() -> None:
    first, second = Writer(1), Writer(1)
    first.begin()
    first.write()
    second.begin()
    waiting = second.write_soon()
    wait_until(_somebody_waits_for_a_lock, what="the second waits for the first")
    first.write()
    first.end(commit=True)
    waiting.result(PATIENCE)
    second.end(commit=True)
    sequence()
    first.close()
    second.close()

    entries = JournalEntry.objects.filter(actor="writer-1").order_by("position")
    assert [entry.stream_sequence for entry in entries] == [1, 2, 3]


def _somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(cursor.fetchone()[0])


def test_two_relays_and_four_writers_at_once() -> None:
    follower = Follower()

    def write(writer: int) -> None:
        for _ in range(15):
            with transaction.atomic(), journal.acting_as(f"writer-{writer}"):
                journal.record(journal.Change("note"))

    def relay() -> None:
        while JournalEntry.objects.count() < 60 or unsequenced_since():
            sequence()

    in_parallel(*(lambda n=n: write(n) for n in range(4)), relay, relay)
    for _ in range(30):
        follower.read()

    assert len(set(follower.seen)) == len(follower.seen) == 60


def test_many_entries_are_numbered_a_batch_at_a_time() -> None:
    with transaction.atomic():
        journal.record_many([journal.Change("note")] * (BATCH + 1))

    assert sequence() is True
    assert newest_position() == BATCH
    assert sequence() is False
    assert newest_position() == BATCH + 1
    assert sequence() is False
