"""Whoever reads a stream or a WebSocket is looked at again while it is open: tokens and roles end, connections need not."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from channels.db import database_sync_to_async
from django.db import Error as DatabaseError
from django.utils import timezone

from apps.runs.live.feed import Bell, Feed

from .access import AccessRefused, NotNow, Reader, reader_of

# What the journal tells of is seen at once: these, whose subject is the user's name. A session that ends, or a user whom
# another way than the testbed's has changed, is noticed after so long at most.
KINDS = ("token_revoked", "access_changed")
LOOK_SECONDS = 60.0


class Watch:
    """Notices who may not read any more. One for all connections of a kind; it costs nothing for those of anybody."""

    def __init__(self, feed: Feed) -> None:
        self._bells: dict[str, set[Bell]] = defaultdict(set)
        feed.heed(KINDS, self._ring)

    async def refusal(self, reader: Reader, scope: dict[str, Any]) -> AccessRefused:
        """Wait until the reader who came with this request would be let in no more; what it would be told then.

        Waits for ever for whoever came without a name: such as these may read, or the server is set up anew.
        """
        if not reader.name:
            await asyncio.get_running_loop().create_future()
        with self._bell(reader.name) as bell:
            while True:
                # Also at first: it may have changed since the reader was let in.
                try:
                    reader = await database_sync_to_async(reader_of)(scope)
                except (NotNow, DatabaseError):
                    pass  # nobody can say: others guess from there, or there is no news to be read either
                except AccessRefused as refused:
                    return refused
                await bell.wait(_next_look(reader))

    @contextmanager
    def _bell(self, name: str) -> Iterator[Bell]:
        bell = Bell()
        self._bells[name].add(bell)
        try:
            yield bell
        finally:
            bell.silence()
            self._bells[name].discard(bell)
            if not self._bells[name]:
                del self._bells[name]

    def _ring(self, name: str) -> None:
        for bell in self._bells.get(name, ()):
            bell.ring()


def _next_look(reader: Reader) -> float:
    """When, by the loop's clock."""
    # Those who came together are not to be looked at together.
    seconds = random.uniform(0.5, 1.0) * LOOK_SECONDS  # noqa: S311 - no secret
    if reader.expires_at:
        # Not a moment before it has ended.
        seconds = min(seconds, (reader.expires_at - timezone.now()).total_seconds() + 0.01)
    return asyncio.get_running_loop().time() + max(0.0, seconds)
