"""The newest journal entries in memory, in the form one kind of reader wants them in."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Generic, TypeVar

from ..models import JournalEntry

KEPT = 5_000
Item = TypeVar("Item")


class Tail(Generic[Item]):
    """The last `KEPT` entries, each made into an item once, however many read it. Filled by one thread, read by others."""

    def __init__(self, make: Callable[[JournalEntry], Item]) -> None:
        """`make` is called in order of position; it must not fail."""
        self.make = make
        self._items: deque[Item] = deque(maxlen=KEPT)
        self._position: int | None = None
        self._lock = threading.Lock()

    def extend(self, entries: Sequence[JournalEntry], position: int) -> None:
        """Add the entries that follow; `position` is that of the last, or where a journal begins that has none yet."""
        items = [self.make(entry) for entry in entries]
        with self._lock:
            self._items.extend(items)
            self._position = position

    @property
    def newest(self) -> int | None:
        """The position of the last entry; None before there is any."""
        return self._position

    def since(self, position: int, *, limit: int) -> list[Item] | None:
        """The next items after `position`; None when memory does not reach back that far: the database does."""
        with self._lock:
            if self._position is None:
                return None
            if position >= self._position:
                return []
            # Positions have no holes, so the distance is the index.
            start = len(self._items) - (self._position - position)
            return list(islice(self._items, start, start + limit)) if start >= 0 else None
