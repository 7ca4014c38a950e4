"""What follows a position in the form in which it goes out, made once for all clients that wish the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from channels.db import database_sync_to_async

from ..selectors import entries_after
from .tail import Tail

Item = TypeVar("Item")
Wish = TypeVar("Wish", bound=Hashable)
Body = TypeVar("Body")


@dataclass(frozen=True, slots=True)
class Batch(Generic[Body]):
    """Everything up to `position`; no `body` if nothing of it is wished."""

    position: int
    body: Body | None


class Batches(Generic[Item, Wish, Body]):
    """Batches of the journal, out of memory or, for whoever is further behind, out of the database.

    Clients that keep up are at the same position, so each of them is handed the same batch.
    """

    def __init__(
        self, tail: Tail[Item], pack: Callable[[list[Item], Wish], Batch[Body]], *, limit: int
    ) -> None:
        """`pack` makes a batch of items, of which there are at least one and at most `limit`."""
        self._tail = tail
        self._pack = pack
        self._limit = limit
        self._newest: int | None = None
        self._made: dict[tuple[int, Wish], Batch[Body]] = {}

    async def after(self, position: int, wish: Wish) -> Batch[Body] | None:
        """The next batch, None if there is nothing more.

        Raises:
            DatabaseError: it has to be read, and the database does not answer.
        """
        newest = self._tail.newest
        if newest != self._newest:
            self._newest = newest
            self._made.clear()
        if made := self._made.get((position, wish)):
            return made
        items = self._tail.since(position, limit=self._limit)
        if items is None:
            items = await database_sync_to_async(self._read)(position)
        if not items:
            return None
        batch = self._pack(items, wish)
        # Of those on the way there, each is at a position of its own.
        if batch.position == newest:
            self._made[position, wish] = batch
        return batch

    def ends_at(self, position: int) -> bool:
        """Whether nothing is known yet that follows this position."""
        return position == self._tail.newest

    def _read(self, position: int) -> list[Item]:
        return [self._tail.make(entry) for entry in entries_after(position, limit=self._limit)]
