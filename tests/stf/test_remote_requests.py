"""How ranges are cut into vector reads: whole, in order, and never more than a server takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from apps.stf.container.remote import MOST_RANGE_BYTES, MOST_RANGES, MOST_REQUEST_BYTES, _requests

ranges = st.lists(
    st.tuples(st.integers(0, 2**31), st.integers(0, 3 * MOST_RANGE_BYTES) | st.integers(1, 100)), max_size=40
)


@given(ranges)
def test_pieces_are_the_ranges_in_order(wanted: list[tuple[int, int]]) -> None:
    pieces = [piece for request in _requests(wanted) for piece in request]
    for position, (offset, length) in enumerate(wanted):
        mine = [piece for at, piece in pieces if at == position]
        assert sum(size for _, size in mine) == length
        for start, size in mine:
            assert start == offset
            offset += size
    assert [position for position, _ in pieces] == sorted(position for position, _ in pieces)


@given(ranges)
def test_no_request_is_too_large(wanted: list[tuple[int, int]]) -> None:
    for request in _requests(wanted):
        sizes = [size for _, (_, size) in request]
        assert 0 < len(sizes) <= MOST_RANGES
        assert max(sizes) <= MOST_RANGE_BYTES
        assert sum(sizes) <= MOST_REQUEST_BYTES


def test_many_small_ranges_are_several_requests() -> None:
    assert [len(request) for request in _requests([(n * 10, 5) for n in range(2500)])] == [1024, 1024, 452]
