"""Journal entries as the stream tells of them, made once for all clients; and which of them a client wishes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from pydantic import ValidationError

from apps.runs.live.payloads import live_event
from apps.runs.models import JournalEntry

from ..bus.outgoing import message_of

FILTERS = ("msg_types", "agents", "run_ids", "namespace")
LAST_EVENT_ID = "last_event_id"


class BadQuery(Exception):
    """The query asks for something that there is not: `fields` says by which parameter, and what there is."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {why}" for name, why in fields.items()))
        self.fields = dict(fields)


@dataclass(frozen=True, slots=True)
class Streamed:
    """One entry: what filters look at, and what is told of it, as JSON in one line."""

    position: int
    kind: str
    agents: tuple[str, ...]
    run_id: str
    namespace: str
    data: str


def streamed(entry: JournalEntry) -> Streamed:
    """The entry, which must have its position, as the message it is on the bus, or else as pages are told of it."""
    event = live_event(entry)
    by = entry.payload.get("processed_by")
    run_number = event["run_number"]
    return Streamed(
        position=event["position"],
        kind=entry.kind,
        agents=(entry.actor, by) if isinstance(by, str) else (entry.actor,),
        run_id="" if run_number is None else str(run_number),
        namespace=entry.namespace.name if entry.namespace else "",
        data=json.dumps(_message(entry) or event),
    )


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client wishes to see: everything, or what is named. `last_event_id` is where it goes on from, None for now.

    Wishes are equal if they let the same through, wherever they begin.
    """

    msg_types: frozenset[str] = frozenset()
    agents: frozenset[str] = frozenset()
    run_ids: frozenset[str] = frozenset()
    namespace: str = ""
    last_event_id: int | None = field(default=None, compare=False)

    def covers(self, event: Streamed) -> bool:
        """Whether the event is to be sent: one of each kind of names that were given, and the namespace."""
        return (
            (not self.msg_types or event.kind in self.msg_types)
            and (not self.agents or not self.agents.isdisjoint(event.agents))
            and (not self.run_ids or event.run_id in self.run_ids)
            and (not self.namespace or event.namespace == self.namespace)
        )


def wish_of(query: str, last_event_id: str = "") -> Wish:
    """The wish that a query says; the header's `last_event_id` comes before that of the query, which a browser repeats.

    Raises:
        BadQuery: it names an unknown filter, or something that is no number.
    """
    named = parse_qs(query)
    if unknown := set(named) - {*FILTERS, LAST_EVENT_ID}:
        known = ", ".join([*FILTERS, LAST_EVENT_ID])
        raise BadQuery(dict.fromkeys(sorted(unknown), f"is no filter of this stream; there are {known}"))
    words = {
        name: [word.strip() for value in values for word in value.split(",")]
        for name, values in named.items()
    }
    run_ids = _chosen(words, "run_ids")
    if wrong := sorted(word for word in run_ids if not word.isdecimal()):
        raise BadQuery({"run_ids": f"{wrong[0]!r} is no run number"})
    namespaces = _chosen(words, "namespace")
    if len(namespaces) > 1:
        raise BadQuery({"namespace": "names more than one: a stream is of one, or of all"})
    return Wish(
        msg_types=_chosen(words, "msg_types"),
        agents=_chosen(words, "agents"),
        run_ids=run_ids,
        namespace="".join(namespaces),
        last_event_id=_position(last_event_id or "".join(named.get(LAST_EVENT_ID, [])[:1])),
    )


def _chosen(words: dict[str, list[str]], name: str) -> frozenset[str]:
    return frozenset(word for word in words.get(name, []) if word)


def _position(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise BadQuery({LAST_EVENT_ID: f"{text[:40]!r} is no id of an event of this stream"})
    return int(text)


def _message(entry: JournalEntry) -> dict[str, Any] | None:
    try:
        return message_of(entry)
    except ValidationError:
        return None  # the relay parks it, with the reason
