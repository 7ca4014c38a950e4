"""Following the message stream of a testbed, over HTTP.

for event in events("https://testbed.example.org", token, msg_types=["stf_gen", "stf_ready"]):
    print(event.type, event.data)
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.request
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import urlencode

from .errors import Away, Refused
from .web import ask, base_of, pauses, words

PATH = "/api/messages/stream/"
CONNECTED = "connected"
DISCONNECTED = "disconnected"
# The server says something every 10 s.
SILENT_AFTER_SECONDS = 35.0
# Longer lines are none of ours.
_LINE_LIMIT = 16_000_000


@dataclass(frozen=True)
class Event:
    """One event.

    `type` is the `msg_type` of the message in `data`, or the kind of another journal entry. Two more tell of the line:
    `connected`, and `disconnected` with `reason` and `retry_seconds` in its data. `id` is the position in the journal; a
    stream that is asked for with it as `last_event_id` goes on after this event.
    """

    type: str
    id: int | None = None
    data: dict[str, Any] = field(default_factory=dict)


def events(
    base_url: str,
    token: str = "",
    msg_types: Iterable[str] = (),
    run: int | None = None,
    last_event_id: int | None = None,
) -> Generator[Event, None, None]:
    """All events that follow, each once and in order, for as long as they are asked for.

    A line that breaks, or is silent for 35 s, is made anew and goes on where it was, after a pause of 0.5 to 15 s. Close
    the iterator to leave.

    Args:
        base_url: of the testbed, such as `http://127.0.0.1:8000`.
        token: as `manage.py get_token` prints it; none where anybody may read.
        msg_types: only events of these types; all without.
        run: only events of this run; all without.
        last_event_id: begin after this event; without, with what happens from now on.

    Raises:
        Refused: the token lets nobody in, the event is too long ago, or the address is no testbed's.
    """
    wish = {"msg_types": ",".join(msg_types), "run_ids": "" if run is None else str(run)}
    return (event for event in positions(base_url, token, wish, last_event_id) if event.type)


def positions(
    base_url: str, token: str, wish: dict[str, str], last_event_id: int | None = None
) -> Generator[Event, None, None]:
    """As `events`, with any filters of the stream; and with events without a type, which only move the id.

    Raises:
        Refused: as `events`.
    """
    query = urlencode({name: value for name, value in wish.items() if value})
    url = f"{base_of(base_url)}{PATH}?{query}"
    waits = pauses()
    while True:
        try:
            with _open(url, token, last_event_id) as answer:
                for event in _events_in(answer):
                    waits = pauses()
                    last_event_id = last_event_id if event.id is None else event.id
                    yield event
            reason = "the testbed has ended the line"
        except Away as error:
            reason = str(error)
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = words(error, SILENT_AFTER_SECONDS)
        pause = next(waits)
        yield Event(DISCONNECTED, last_event_id, {"reason": reason, "retry_seconds": round(pause, 1)})
        time.sleep(pause)


def _open(url: str, token: str, last_event_id: int | None) -> http.client.HTTPResponse:
    """The answer, which is a stream.

    Raises:
        Refused: asking again is of no use.
        Away: it may be.
    """
    headers = {"Accept": "text/event-stream"}
    if last_event_id is not None:
        headers["Last-Event-ID"] = str(last_event_id)
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme is checked
    try:
        answer = ask(request, token=token, timeout=SILENT_AFTER_SECONDS)
    except Refused as refusal:
        if refusal.status >= 500:
            raise Away(str(refusal)) from refusal
        raise
    if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
        answer.close()
        raise Refused(f"{url} is no message stream: is this the address of a testbed?")
    return answer


def _events_in(answer: BinaryIO) -> Iterator[Event]:
    """The events as they come; one that only moves the id has no type. What a broken line has cut off is dropped."""
    kind, position, data = "", None, ""
    while line := answer.readline(_LINE_LIMIT):
        name, _, value = line.decode().rstrip("\r\n").partition(": ")
        if name == "event":
            kind = value
        elif name == "id":
            position = int(value)
        elif name == "data":
            data = value
        # A comment has no name either; an event ends with an empty line.
        elif not name and not value:
            yield Event(kind, position, json.loads(data) if data else {})
            kind, position, data = "", None, ""
