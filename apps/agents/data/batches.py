"""Work of several runs, taken run by run: Rucio is asked per dataset, and a run's trouble stays its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import TypeVar

Item = TypeVar("Item")


def by_run(items: Iterable[Item], run_id: Callable[[Item], int]) -> list[list[Item]]:
    """The items in lists of one run each; their order within a run is kept."""
    return [list(group) for _, group in groupby(sorted(items, key=run_id), key=run_id)]
