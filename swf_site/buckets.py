"""Leaky buckets in memory, shared by processes that are forked after they were made."""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from struct import Struct
from time import monotonic

# Whose bucket it is, and when it will be empty.
_SLOT = Struct("16sd")
# A bucket may stand in any of so many slots, which its owner's name gives.
_NEIGHBOURS = 8
_GROUPS = 2048


class Buckets:
    """One for each owner: it is filled by one each time that it is asked for more, and leaks one per interval.

    There is room for some 16,000. Beyond that, the one that will be empty first is forgotten.
    """

    def __init__(self, groups: int = _GROUPS) -> None:
        """With room for eight times `groups` buckets."""
        self._groups = groups
        size = groups * _NEIGHBOURS * _SLOT.size
        self._file = os.memfd_create("buckets")
        os.ftruncate(self._file, size)
        self._memory = mmap.mmap(self._file, size)
        self._threads = threading.Lock()

    def fill(self, owner: str, *, size: int, interval: float) -> float:
        """One more into the bucket of this owner, which holds `size` and leaks one per `interval` seconds.

        Returns:
            0, or in how many seconds there will be room for it: then it was not put in.
        """
        key = blake2b(owner.encode(), digest_size=16).digest()
        with self._alone():
            now = monotonic()
            offset, empty_at = self._find(key)
            wait = empty_at - now - (size - 1) * interval
            if wait > 0:
                return wait
            _SLOT.pack_into(self._memory, offset, key, max(empty_at, now) + interval)
            return 0.0

    def _find(self, key: bytes) -> tuple[int, float]:
        """The slot of a bucket, and when it will be empty; one to put it into if it is in none."""
        first = int.from_bytes(key[:8], "little") % self._groups * _NEIGHBOURS
        slots = []
        for offset in range(first * _SLOT.size, (first + _NEIGHBOURS) * _SLOT.size, _SLOT.size):
            owner, empty_at = _SLOT.unpack_from(self._memory, offset)
            if owner == key:
                return offset, empty_at
            slots.append((empty_at, offset))
        return min(slots)[1], 0.0

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other thread or process. The kernel takes the lock from a process that is killed with it."""
        with self._threads:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)
