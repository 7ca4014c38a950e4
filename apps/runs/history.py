"""What the journal tells of a moment that is past: reads of entries up to it, and the state of a run that follows from them.

The journal is the only record of what was: rows know what is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q, QuerySet

from .choices import LIFECYCLE_OF_MESSAGE, RunLifecycle
from .core_states import CoreState
from .models import JournalEntry, Run

_BEGINS = frozenset({"run_workflow", "run_taken_over"})
_VERDICT = "run_closed"
_END = "end_run"
_MOVES_STATE = frozenset({"core_state", *LIFECYCLE_OF_MESSAGE})
# Within so long after `closed_at` the entry that says it is written.
_CLOSING = timedelta(minutes=1)
# The kinds that say what a run is.
TELLING = _BEGINS | _MOVES_STATE | {_VERDICT}


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of the journal: an instant, by the clocks of those who wrote, or a position. One of the two."""

    at: datetime | None = None
    position: int | None = None

    @property
    def column(self) -> str:
        """The column of the journal that it is a value of."""
        return "occurred_at" if self.position is None else "position"

    @property
    def value(self) -> datetime | int | None:
        """The instant or the position."""
        return self.at if self.position is None else self.position

    @property
    def passed(self) -> Q:
        """The condition that an entry is known by then."""
        return Q(**{f"{self.column}__lte": self.value})

    def __str__(self) -> str:
        return self.at.isoformat() if self.at else str(self.position)


@dataclass(frozen=True, slots=True)
class RunTold:
    """What a run was, as the journal says. `expected_stf_count` is None before the run's end."""

    lifecycle: RunLifecycle
    state: str
    substate: str
    expected_stf_count: int | None


def run_told(last: Mapping[str, JournalEntry]) -> RunTold:
    """What a run was, by the last entry of each of the kinds `TELLING`, as far as there are any."""
    moves = [entry for kind, entry in last.items() if kind in _MOVES_STATE]
    state = max(moves, key=_order).payload if moves else {"state": CoreState.OFF.value, "substate": ""}
    end = last.get(_END)
    return RunTold(
        lifecycle=_lifecycle(last),
        state=state["state"],
        substate=state["substate"],
        expected_stf_count=end.payload["total_stf_files"] if end else None,
    )


def first_entry() -> JournalEntry | None:
    """The entry that the journal begins with."""
    return JournalEntry.objects.order_by("pk").first()


def between(entries: QuerySet[JournalEntry], since: Moment, until: Moment) -> QuerySet[JournalEntry]:
    """Those of these entries after one moment, up to another of the same sort."""
    return entries.filter(until.passed, **{f"{since.column}__gt": since.value})


def counted_by_kind(entries: QuerySet[JournalEntry]) -> dict[int | None, dict[str, int]]:
    """How many entries there are by kind, by the id of their run, None for those of no run; one query."""
    counted: dict[int | None, dict[str, int]] = {}
    rows = entries.order_by("run", "kind").values_list("run", "kind").annotate(Count("pk"))
    for run, kind, count in rows:
        counted.setdefault(run, {})[kind] = count
    return counted


def perhaps_alive(runs: QuerySet[Run], at: datetime) -> QuerySet[Run]:
    """Those of these runs that may not have been settled then: the others are so since before, for `closed_at` is when they
    were the last time."""
    return runs.filter(Q(closed_at__isnull=True) | Q(closed_at__gt=at - _CLOSING), requested_at__lte=at)


def _lifecycle(last: Mapping[str, JournalEntry]) -> RunLifecycle:
    telling = [entry for kind, entry in last.items() if kind in TELLING and kind != "core_state"]
    newest = max(telling, key=_order)
    if newest.kind in _BEGINS:
        return RunLifecycle.REQUESTED
    if newest.kind == _VERDICT:
        return RunLifecycle(newest.payload["state"])
    # A corrected count opens the question again that a verdict had settled.
    if newest.kind == _END and "corrects" in newest.payload and _VERDICT in last:
        return RunLifecycle.INCOMPLETE
    return LIFECYCLE_OF_MESSAGE[newest.kind]


def _order(entry: JournalEntry) -> int:
    """Who changes a run has locked it: the ids of these entries are in the order of the changes."""
    return int(entry.pk)
