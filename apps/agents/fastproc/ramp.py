"""How many workers a run wants, by how much waits and how long a slice takes, and how fast that is followed."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

# What waits is to be through after so long.
DRAIN_SECONDS = 5.0


@dataclass(frozen=True)
class Load:
    """What there is to do: slices that are not through, those that come per second, and the seconds of a worker that one
    costs."""

    backlog: int
    arrival_rate: float
    worker_seconds: float
    taking_data: bool


def wanted_workers(load: Load, target: int) -> int:
    """How many workers are kept busy by what comes and by what waits; at most `target`.

    A run that takes data wants one in any case, so that its first slices wait for none; one that does not, and has no
    slices, wants none.
    """
    if not load.taking_data and not load.backlog:
        return 0
    slices_per_second = load.arrival_rate + load.backlog / DRAIN_SECONDS
    # Rounded first: no worker more for an error in the last digit.
    busy = ceil(round(slices_per_second * load.worker_seconds, 6))
    return min(target, max(1, busy))


class Ramp:
    """Follows what is wanted with delay: upwards when more has been wanted for a while, downwards when less has.

    `count` is how many workers there are to be.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._above_since: float | None = None
        self._below_since: float | None = None
        self._most_below = 0

    def follow(self, wanted: int, *, now: float, up_after: float, down_after: float) -> int:
        """The count from now on; times in seconds of a clock that only goes forward."""
        if wanted <= self.count:
            self._above_since = None
        elif self._above_since is None:
            self._above_since = now
        if wanted >= self.count:
            self._below_since, self._most_below = None, 0
        else:
            # Down to the most that was wanted meanwhile, not to what is wanted at this moment.
            self._most_below = max(self._most_below, wanted)
            self._below_since = now if self._below_since is None else self._below_since
        if self._above_since is not None and now - self._above_since >= up_after:
            self._restart(wanted)
        elif self._below_since is not None and now - self._below_since >= down_after:
            self._restart(self._most_below)
        return self.count

    def _restart(self, count: int) -> None:
        self.count = count
        self._above_since, self._below_since, self._most_below = None, None, 0
