"""Batches that clients share give each of them what it wishes, whole, once and in order."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from apps.runs.live.batches import Batch, Batches
from apps.runs.live.tail import Tail
from apps.runs.models import JournalEntry

LIMIT = 3


def packed(items: list[int], divisor: int) -> Batch[list[int]]:
    """Wished are multiples."""
    return Batch(items[-1], [item for item in items if item % divisor == 0] or None)


class Client:
    """Follows, one batch at a time."""

    def __init__(self, batches: Batches[Any, int, list[int]], wish: int) -> None:
        self.position = 0
        self.got: list[int] = []
        self.last: Batch[list[int]] | None = None
        self._batches = batches
        self._wish = wish

    def step(self) -> bool:
        """Whether there was something."""
        self.last = asyncio.run(self._batches.after(self.position, self._wish))
        if self.last is None:
            return False
        self.position = self.last.position
        self.got += self.last.body or []
        return True


@given(
    wishes=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    moves=st.lists(st.integers(0, 7), max_size=30),
)
def test_whoever_reads_when_gets_what_it_wishes(wishes: list[int], moves: list[int]) -> None:
    """Moves below 4 are of the client of that number, the others let the journal grow."""
    tail: Tail[int] = Tail(lambda entry: entry.position or 0)
    batches = Batches(tail, packed, limit=LIMIT)
    clients = [Client(batches, wish) for wish in wishes]
    newest = 0
    tail.extend([], newest)
    for move in moves:
        if move < 4:
            clients[move % len(clients)].step()
        else:
            entries = [JournalEntry(position=newest + nth) for nth in range(1, move - 2)]
            newest += len(entries)
            tail.extend(entries, newest)
    for client in clients:
        while client.step():
            assert batches.ends_at(client.position) is (client.position == newest)

    for client, wish in zip(clients, wishes, strict=True):
        assert client.got == [number for number in range(1, newest + 1) if number % wish == 0]


def test_clients_that_keep_up_are_handed_the_same_batch() -> None:
    tail: Tail[int] = Tail(lambda entry: entry.position or 0)
    batches = Batches(tail, packed, limit=LIMIT)
    one, other, another = Client(batches, 1), Client(batches, 1), Client(batches, 2)
    tail.extend([], 0)
    tail.extend([JournalEntry(position=1), JournalEntry(position=2)], 2)

    assert all(client.step() for client in (one, other, another))

    assert one.last is other.last
    assert another.got == [2]
