"""What goes over the WebSocket: three kinds of frames, and the one function that makes an event of a journal entry."""

from __future__ import annotations

import json
from typing import Any, Literal, TypedDict

from ..models import JournalEntry
from .batches import Batch

# What a page needs of a message to move its cells; the rest it asks for over REST.
_SHOWN = (
    "sequence",
    "rse",
    "site",
    "before",
    "reason",
    "state",
    "substate",
    "total_stf_files",
    "missing",
)


class LiveEvent(TypedDict):
    """One journal entry. `at` is ISO 8601, UTC; `run_number` is None where no run is concerned."""

    position: int
    kind: str
    run_number: int | None
    actor: str
    subject: str
    at: str
    data: dict[str, Any]


class EventsFrame(TypedDict):
    """Events in order of position. Everything up to `position` that concerns the page has now been sent."""

    type: Literal["events"]
    position: int
    events: list[LiveEvent]


class SnapshotFrame(TypedDict):
    """The page as it is now; it holds everything up to `position`, and perhaps a little that follows as events too."""

    type: Literal["snapshot"]
    position: int
    content: dict[str, Any]


class PingFrame(TypedDict):
    """Sent every few seconds, so that silence means trouble. `waits_for` says why news may be late, "" if it is not."""

    type: Literal["ping"]
    position: int
    now: str
    waits_for: str


def live_event(entry: JournalEntry) -> LiveEvent:
    """The entry as pages see it. It must have been given its position."""
    if entry.position is None:
        raise ValueError(
            f"journal entry {entry.pk} ({entry.kind}) has no position yet: the relay gives it one"
        )
    return LiveEvent(
        position=entry.position,
        kind=entry.kind,
        run_number=entry.run.run_number if entry.run else None,
        actor=entry.actor,
        subject=entry.subject,
        at=entry.occurred_at.isoformat(),
        data={name: entry.payload[name] for name in _SHOWN if name in entry.payload},
    )


def packed(events: list[LiveEvent], run_number: int | None) -> Batch[str]:
    """Those of the events that concern the page of this run, or of all (None), as the text of a frame."""
    position = events[-1]["position"]
    shown = [event for event in events if concerns(event, run_number)]
    frame = EventsFrame(type="events", position=position, events=shown)
    return Batch(position, json.dumps(frame) if shown else None)


def concerns(event: LiveEvent, run_number: int | None) -> bool:
    """Whether the page of this run, or of all (None), is told of the event: of its run, or of none."""
    return run_number is None or event["run_number"] in {None, run_number}
