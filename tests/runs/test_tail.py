"""The journal's tail in memory gives what follows a position, whole and in order, or says that it does not know."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from apps.runs.live import tail as module
from apps.runs.live.tail import Tail
from apps.runs.models import JournalEntry

LIMIT = 4


@given(
    begins=st.integers(0, 20),
    batches=st.lists(st.integers(0, 5), max_size=6),
    kept=st.integers(1, 8),
    asked=st.integers(0, 60),
)
def test_what_follows_a_position_is_given_whole_or_not_at_all(
    begins: int, batches: list[int], kept: int, asked: int
) -> None:
    before, module.KEPT = module.KEPT, kept
    try:
        tail = Tail(lambda entry: entry.position)
    finally:
        module.KEPT = before
    assert tail.since(asked, limit=LIMIT) is None
    newest = begins
    tail.extend([], newest)
    for size in batches:
        entries = [JournalEntry(position=newest + nth) for nth in range(1, size + 1)]
        newest += size
        tail.extend(entries, newest)

    given_back = tail.since(asked, limit=LIMIT)

    remembered = max(begins, newest - kept)
    if asked >= newest:
        assert given_back == []
    elif asked >= remembered:
        assert given_back == list(range(asked + 1, min(asked + LIMIT, newest) + 1))
    else:
        assert given_back is None
