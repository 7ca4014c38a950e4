"""What was known of the system at a moment that is past, and what has changed between two, out of the journal alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from apps.runs.choices import SETTLED
from apps.runs.history import Moment, between, counted_by_kind, perhaps_alive
from apps.runs.models import JournalEntry, Run
from apps.stf.selectors.past import RunChanges, RunPast, changes_of, past_of

from ..choices import AgentPastState

# Of so many runs, the newest, the entries are counted for one answer.
MOST_RUNS = 100

# What agents say of themselves, and what they were from then on.
_AGENT_SAID = {
    "agent_started": AgentPastState.UP,
    "agent_resumed": AgentPastState.UP,
    "agent_waiting": AgentPastState.WAITING,
    "agent_exited": AgentPastState.EXITED,
}


@dataclass(frozen=True, slots=True)
class AgentPast:
    """What an agent had last said of itself, since when, and what it waited for. One that was killed has not said so."""

    instance_name: str
    state: AgentPastState
    since: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class SystemPast:
    """Runs that were not settled, the newest first, and agents. `left_out` are older runs, some of which may be settled."""

    at: datetime
    runs: list[RunPast]
    left_out: int
    agents: list[AgentPast]


@dataclass(frozen=True, slots=True)
class RunChanged:
    """What of a run differs, and how many entries there are in between, by kind."""

    changes: RunChanges
    entries: dict[str, int]


@dataclass(frozen=True, slots=True)
class SystemChanges:
    """Runs with entries in between, the newest first; `left_out` are older ones. `other_entries` are those that are about no
    run, by kind."""

    since: Moment
    until: Moment
    runs: list[RunChanged]
    left_out: int
    other_entries: dict[str, int]


def system_past(at: datetime, *, runs: QuerySet[Run], entries: QuerySet[JournalEntry]) -> SystemPast:
    """The system at an instant, in a fixed number of queries.

    Args:
        runs: those that may be looked at, with their `execution` and `namespace`.
        entries: those of the journal in which agents may have said what they were.
    """
    moment = Moment(at=at)
    alive = perhaps_alive(runs, at).order_by("-run_number")
    past = past_of(shown := list(alive[:MOST_RUNS]), moment)
    return SystemPast(
        at=at,
        runs=[one for one in past.values() if one.told.lifecycle not in SETTLED],
        left_out=alive.count() - len(shown),
        agents=agents_told(entries, moment),
    )


def system_changes(
    since: Moment, until: Moment, *, runs: QuerySet[Run], entries: QuerySet[JournalEntry]
) -> SystemChanges:
    """What has changed between two moments of the same sort, in a fixed number of queries.

    Args:
        runs: those that may be looked at, with their `execution` and `namespace`.
        entries: those of the journal that are counted.
    """
    counted = counted_by_kind(between(entries, since, until))
    told = runs.filter(pk__in=[pk for pk in counted if pk])
    shown = list(told.order_by("-run_number")[:MOST_RUNS])
    return SystemChanges(
        since=since,
        until=until,
        runs=[RunChanged(one, counted[one.run.pk]) for one in changes_of(shown, since, until)],
        left_out=len(counted.keys() - {None}) - len(shown),
        other_entries=counted.get(None, {}),
    )


def agents_told(entries: QuerySet[JournalEntry], moment: Moment) -> list[AgentPast]:
    """What agents had said of themselves by then, by name; one query.

    Args:
        entries: those of the journal that may be looked at.
    """
    said = entries.filter(moment.passed, run__isnull=True, kind__in=_AGENT_SAID)
    return [
        AgentPast(entry.subject, _AGENT_SAID[entry.kind], entry.occurred_at, entry.payload.get("reason", ""))
        for entry in said.order_by("subject", "-pk").distinct("subject")
    ]
