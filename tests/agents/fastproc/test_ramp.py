"""How many workers are wanted, and how fast that is followed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.agents.fastproc.ramp import Load, Ramp, wanted_workers

LOADS = st.builds(
    Load,
    backlog=st.integers(0, 10_000),
    arrival_rate=st.floats(0, 1000),
    worker_seconds=st.floats(0.001, 100),
    taking_data=st.booleans(),
)
TARGETS = st.integers(0, 100)


@pytest.mark.parametrize(
    ("load", "target", "wanted"),
    [
        (Load(0, 0, 0.1, taking_data=True), 4, 1),
        (Load(0, 0, 0.1, taking_data=True), 0, 0),
        (Load(0, 0, 0.1, taking_data=False), 4, 0),
        (Load(1, 0, 0.1, taking_data=False), 4, 1),
        (Load(0, 25, 0.1, taking_data=True), 4, 3),
        (Load(0, 30, 0.1, taking_data=True), 4, 3),
        (Load(50, 25, 0.1, taking_data=True), 8, 4),
        (Load(600, 25, 0.1, taking_data=True), 8, 8),
    ],
)
def test_as_many_are_wanted_as_are_kept_busy(load: Load, target: int, wanted: int) -> None:
    assert wanted_workers(load, target) == wanted


@given(load=LOADS, target=TARGETS, more=st.integers(0, 1000))
def test_never_more_than_the_target_and_not_less_for_more_slices(load: Load, target: int, more: int) -> None:
    wanted = wanted_workers(load, target)
    with_more = Load(load.backlog + more, load.arrival_rate, load.worker_seconds, load.taking_data)

    assert 0 <= wanted <= target
    assert wanted_workers(with_more, target) >= wanted
    if not load.taking_data and load.backlog == 0:
        assert wanted == 0
    elif target:
        assert wanted >= 1


def followed(count: int, *wanted: int) -> list[int]:
    """The counts second by second; up after 2 s, down after 4 s."""
    ramp = Ramp(count)
    return [ramp.follow(one, now=now, up_after=2, down_after=4) for now, one in enumerate(wanted)]


@pytest.mark.parametrize(
    ("count", "wanted", "counts"),
    [
        (0, [3, 3, 3, 3], [0, 0, 3, 3]),
        (0, [3, 3, 0, 3, 3, 3], [0, 0, 0, 0, 0, 3]),
        (0, [1, 2, 3], [0, 0, 3]),
        (3, [0, 0, 0, 0, 0], [3, 3, 3, 3, 0]),
        (3, [0, 2, 0, 1, 0], [3, 3, 3, 3, 2]),
        (3, [0, 0, 0, 3, 0, 0, 0, 0, 0], [3, 3, 3, 3, 3, 3, 3, 3, 0]),
        (2, [2, 2, 2], [2, 2, 2]),
    ],
)
def test_what_is_wanted_for_a_while_is_followed(count: int, wanted: list[int], counts: list[int]) -> None:
    assert followed(count, *wanted) == counts


@given(wanted=st.lists(st.integers(0, 5), min_size=1, max_size=40), count=st.integers(0, 5))
def test_the_count_is_one_that_was_wanted_and_in_the_end_the_one_that_is(
    wanted: list[int], count: int
) -> None:
    counts = followed(count, *wanted, *[wanted[-1]] * 8)

    assert set(counts) <= {count, *wanted}
    assert counts[-1] == wanted[-1]


def test_without_delay_it_is_followed_at_once() -> None:
    ramp = Ramp(0)
    assert [ramp.follow(one, now=7.0, up_after=0, down_after=0) for one in (2, 1, 5, 0)] == [2, 1, 5, 0]
