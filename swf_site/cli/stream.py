"""Following the message stream of a testbed, this one or a remote one. Standard library only; knows nothing of Django.

for event in events("https://testbed.example.org", token, msg_types=["stf_gen", "stf_ready"]):
    print(event.type, event.data)
"""

from __future__ import annotations

import http.client
import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import urlencode, urlsplit

PATH = "/api/messages/stream/"
CONNECTED = "connected"
DISCONNECTED = "disconnected"
# The server says something every 10 s.
SILENT_AFTER_SECONDS = 35.0
RETRY_FIRST_SECONDS = 0.5
RETRY_MOST_SECONDS = 15.0
# Longer lines are none of ours.
_LINE_LIMIT = 16_000_000


class StreamRefused(Exception):
    """The testbed will not send this stream, however often it is asked; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the stream.

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
) -> Iterator[Event]:
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
        StreamRefused: the token lets nobody in, the event is too long ago, or the address is no testbed's.
    """
    if urlsplit(base_url).scheme not in {"http", "https"}:
        raise StreamRefused(f"{base_url!r} is no address of a testbed: http://host:port")
    wish = {"msg_types": ",".join(msg_types), "run_ids": "" if run is None else str(run)}
    url = f"{base_url.rstrip('/')}{PATH}?{urlencode({name: value for name, value in wish.items() if value})}"
    failures = 0
    while True:
        try:
            with _open(url, token, last_event_id) as answer:
                for event in _events_in(answer):
                    failures = 0
                    last_event_id = last_event_id if event.id is None else event.id
                    if event.type:
                        yield event
            reason = "the testbed has ended the line"
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = _words(error)
        pause = min(RETRY_FIRST_SECONDS * 2**failures, RETRY_MOST_SECONDS) * random.uniform(0.5, 1)  # noqa: S311
        failures = min(failures + 1, 10)
        yield Event(DISCONNECTED, last_event_id, {"reason": reason, "retry_seconds": round(pause, 1)})
        time.sleep(pause)


def _open(url: str, token: str, last_event_id: int | None) -> Any:
    """The answer, which is a stream.

    Raises:
        StreamRefused: asking again is of no use.
        OSError: it may be.
    """
    headers = {"Accept": "text/event-stream"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if last_event_id is not None:
        headers["Last-Event-ID"] = str(last_event_id)
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme is checked
    try:
        answer = urllib.request.urlopen(request, timeout=SILENT_AFTER_SECONDS)  # noqa: S310 - as above
    except urllib.error.HTTPError as error:
        with error:
            detail = _detail(error)
        if error.code in {408, 429} or error.code >= 500:
            raise OSError(detail) from error
        raise StreamRefused(detail) from error
    if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
        answer.close()
        raise StreamRefused(f"{url} is no message stream: is this the address of a testbed?")
    return answer


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(100_000))["detail"])
    except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
        return f"the testbed answers {error.code} {error.reason}"


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


def _words(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return f"the testbed has said nothing for {SILENT_AFTER_SECONDS:.0f} s"
    return str(reason) or type(reason).__name__
