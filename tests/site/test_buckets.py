"""Leaky buckets: what they let through and when, and that processes fill the same ones."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from multiprocessing import get_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swf_site import buckets
from swf_site.buckets import Buckets

PATIENCE = 120.0
DAY = 86_400.0
forked = get_context("fork")


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(buckets, "monotonic", made)
    return made


def filled(some: Buckets, owner: str, times: int, *, size: int = 3, interval: float = 2.0) -> list[float]:
    """What is said of so many."""
    return [some.fill(owner, size=size, interval=interval) for _ in range(times)]


def test_a_full_bucket_says_when_there_is_room(clock: Clock) -> None:
    some = Buckets()

    assert filled(some, "ann", 5) == [0, 0, 0, 2, 2]
    clock.now += 1.5
    assert filled(some, "ann", 1) == [0.5]
    clock.now += 0.5
    assert filled(some, "ann", 2) == [0, 2]
    clock.now += 100
    assert filled(some, "ann", 4) == [0, 0, 0, 2]


def test_each_owner_has_one(clock: Clock) -> None:
    some = Buckets()
    filled(some, "ann", 3)

    assert filled(some, "bob", 1) == [0]
    assert filled(some, "ann", 1) == [2]


@given(size=st.integers(1, 5), pauses=st.lists(st.integers(0, 4), max_size=40))
def _no_more_than_the_rate(clock: Clock, size: int, pauses: list[int]) -> None:
    some, let_through = Buckets(groups=1), []
    for pause in pauses:
        clock.now += pause
        wait = some.fill("ann", size=size, interval=2.0)
        if not wait:
            let_through.append(clock.now)
        else:
            assert 0 < wait <= 2

    for length in range(1, len(let_through) + 1):
        spans = [b - a for a, b in zip(let_through, let_through[length - 1 :], strict=False)]
        assert all(length <= size + span / 2 for span in spans)


def test_it_lets_through_no_more_than_the_rate(clock: Clock) -> None:
    _no_more_than_the_rate(clock)


def test_where_there_is_no_room_the_fullest_stay(clock: Clock) -> None:
    some = Buckets(groups=1)
    filled(some, "ann", 3)
    for n in range(20):
        filled(some, f"passer-by {n}", 1)

    assert filled(some, "ann", 1) == [2]


def in_processes(number: int, work: Callable[[], None]) -> list[int | None]:
    """The exit codes of so many processes that have done it at the same time."""
    processes = [forked.Process(target=work) for _ in range(number)]
    for one in processes:
        one.start()
    for one in processes:
        one.join(PATIENCE)
    return [one.exitcode for one in processes]


def test_processes_fill_the_same() -> None:
    some, results, together = Buckets(), forked.SimpleQueue(), forked.Barrier(4)

    def fill() -> None:
        together.wait(PATIENCE)
        results.put(filled(some, "ann", 5000, size=7000, interval=DAY).count(0))

    assert in_processes(4, fill) == [0] * 4
    assert sum(results.get() for _ in range(4)) == 7000


def test_whoever_is_killed_in_the_middle_holds_nobody_up() -> None:
    some = Buckets()

    def die() -> None:
        some._find = lambda key: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment, method-assign, return-value]
        filled(some, "ann", 1)

    assert in_processes(1, die) == [-signal.SIGKILL]
    assert filled(some, "ann", 1) == [0]
