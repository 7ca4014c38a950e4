"""What goes out: the message as the bus has it, or the live event; and which of it a client's filters let through."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction

from apps.agents.bus.relay import as_message, sequence
from apps.agents.stream.events import BadQuery, Streamed, Wish, streamed, wish_of
from apps.agents.stream.forms import Frames, ServerSentEvents
from apps.runs import journal
from apps.runs.live.payloads import live_event
from apps.runs.selectors import entries_after
from tests.factories import a_running_run


def told(**changes: Any) -> Streamed:
    """An event for filters to look at."""
    fields: dict[str, Any] = {
        "position": 1,
        "kind": "stf_gen",
        "agents": ("daqsim",),
        "run_id": "100010",
        "namespace": "local",
        "data": "{}",
    }
    return Streamed(**fields | changes)


def parsed(event: Streamed) -> tuple[str, int, dict[str, Any]]:
    """Type, id and data of an event, which go out in either form."""
    *lines, empty, end = ServerSentEvents().events([event], 0).decode().split("\n")
    assert (empty, end) == ("", "")
    fields = dict(line.split(": ", 1) for line in lines)
    told = fields["event"], int(fields["id"]), json.loads(fields["data"])
    frame = json.loads(Frames().events([event, event], 9))
    assert frame == {
        "type": "events",
        "position": 9,
        "events": [dict(zip(("event", "id", "data"), told, strict=True))] * 2,
    }
    return told


@pytest.mark.django_db
def test_a_message_goes_out_as_on_the_bus_and_everything_else_as_to_the_pages() -> None:
    a_running_run()
    sequence()

    entries = entries_after(0, limit=100)

    assert {entry.kind for entry in entries} >= {"run_workflow", "start_run", "core_state"}
    for entry in entries:
        expected = as_message(entry) or live_event(entry)
        assert parsed(streamed(entry)) == (entry.kind, entry.position, json.loads(json.dumps(expected)))


@pytest.mark.django_db
def test_what_another_system_said_on_the_bus_goes_out_too() -> None:
    heard = journal.Heard("stop_workflow", uuid4(), "their DAQ")
    with transaction.atomic(), journal.acting_as("data", heard=heard):
        journal.record(journal.Change("stop_workflow", payload={"reason": "beam dump"}))
    sequence()
    (entry,) = entries_after(0, limit=1)

    kind, _, data = parsed(streamed(entry))

    assert as_message(entry) is None
    assert (kind, data["msg_type"], data["sender"]) == ("stop_workflow", "stop_workflow", "their DAQ")


@pytest.mark.django_db
def test_an_entry_that_makes_no_message_goes_out_as_to_the_pages_and_parks_nothing() -> None:
    with transaction.atomic():
        journal.record(journal.Change("stf_gen", payload={"sequence": "none"}))
    sequence()
    (entry,) = entries_after(0, limit=2)

    assert parsed(streamed(entry))[2] == live_event(entry)
    assert len(entries_after(0, limit=2)) == 1


@pytest.mark.parametrize(
    ("query", "changes", "covered"),
    [
        ("", {}, True),
        ("msg_types=", {}, True),
        ("msg_types=stf_ready,%20stf_gen", {}, True),
        ("msg_types=stf_ready&msg_types=stf_gen", {}, True),
        ("msg_types=stf_ready", {}, False),
        ("agents=daqsim,data", {}, True),
        ("agents=data", {}, False),
        ("agents=data", {"agents": ("daqsim", "data")}, True),
        ("run_ids=100010,100011", {}, True),
        ("run_ids=100011", {}, False),
        ("run_ids=100010", {"run_id": ""}, False),
        ("namespace=local", {}, True),
        ("namespace=other", {}, False),
        ("namespace=local", {"namespace": ""}, False),
        ("msg_types=stf_gen&agents=data&run_ids=100010", {}, False),
    ],
)
def test_filters_let_through_what_they_name(query: str, changes: dict[str, Any], *, covered: bool) -> None:
    assert wish_of(query).covers(told(**changes)) is covered


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("msg_type=stf_gen", "msg_type: is no filter"),
        ("run_ids=all", "'all' is no run number"),
        ("last_event_id=x", "'x' is no id"),
        ("last_event_id=-1", "no id"),
        ("last_event_id=" + "9" * 30, "no id"),
        ("namespace=a,b", "more than one"),
    ],
)
def test_a_query_that_means_nothing_is_refused(query: str, words: str) -> None:
    with pytest.raises(BadQuery, match=words):
        wish_of(query)


def test_the_header_comes_before_the_query() -> None:
    assert wish_of("last_event_id=5", "7") == Wish(last_event_id=7)
    assert wish_of("last_event_id=5") == Wish(last_event_id=5)
    assert wish_of("") == Wish(last_event_id=None)


def test_a_heartbeat_moves_the_position_and_is_no_event() -> None:
    assert ServerSentEvents().beat("", 7) == b": heartbeat\nid: 7\n\n"
    assert ServerSentEvents().beat("the relay is 5 s\nbehind", 7) == b": the relay is 5 s behind\nid: 7\n\n"
    assert json.loads(Frames().beat("it's away", 7)) == {
        "type": "ping",
        "position": 7,
        "waits_for": "it's away",
    }
