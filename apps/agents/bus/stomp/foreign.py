"""Plain JSON and tasks: what any STOMP client sends becomes a task, and a task goes out as what any client reads."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .frames import Frame

log = logging.getLogger(__name__)

# Longer values are of no use to a selector, and ActiveMQ ends connections over headers of more than 10 kB.
_HEADER_VALUE_LIMIT = 1024
# On a copy of a message that was put back: the id of the original, so that the task's id stays.
ORIGINAL_ID = "original_message_id"
# What asks for an answer, or is one, goes along with a document as headers of the task's message, in both directions.
_OF_ANSWERS = ("reply-to", "correlation-id")


class PoisonError(ValueError):
    """The body is no JSON; the text says why."""


@dataclass(frozen=True)
class Feed:
    """A queue fed by plain JSON: every document is a call of `task` with it as the only argument.

    `destination` is where the broker keeps the messages; the queue's own destination without it. `selector` is the
    broker's filter on headers: on a queue, it leaves there what it does not match. `only` lets those documents pass whose
    fields have one of the values; others are taken off the queue and forgotten. `poison_task` is called with the text of
    a body that is no JSON, and the reason; without it, such messages go to the broker's dead letters.
    """

    task: str
    destination: str | None = None
    selector: str | None = None
    only: Mapping[str, Collection[Any]] = field(default_factory=dict)
    poison_task: str | None = None

    def document(self, frame: Frame) -> Any:
        """The decoded body.

        Raises:
            PoisonError: it is no JSON in UTF-8.
        """
        try:
            return json.loads(frame.body.decode())
        except RecursionError:
            raise PoisonError("the body is nested too deeply") from None
        except ValueError as error:
            raise PoisonError(f"the body is no JSON: {error}") from None

    def wants(self, document: Any) -> bool:
        """Whether `only` lets it pass."""
        fields = document if isinstance(document, dict) else {}
        return all(fields.get(name) in values for name, values in self.only.items())

    def as_task(self, frame: Frame) -> tuple[dict[str, Any], bytes]:
        """Headers and body of Celery's message (protocol 2) that calls the task."""
        return _call(self.task, frame, frame.body)

    def as_poison_task(self, frame: Frame, reason: str) -> tuple[dict[str, Any], bytes] | None:
        """The same for a body that is no JSON; None without `poison_task`."""
        if self.poison_task is None:
            return None
        # Databases take no NUL in a text.
        text = frame.body.decode(errors="backslashreplace").replace("\0", "\\x00")
        return _call(self.poison_task, frame, json.dumps(text).encode(), json.dumps(reason).encode())


def _call(task: str, frame: Frame, *arguments: bytes) -> tuple[dict[str, Any], bytes]:
    body = b"[[%b], {}, {}]" % b", ".join(arguments)
    message_id = frame.headers.get(ORIGINAL_ID) or frame.headers.get("message-id", "")
    # Redelivery is the same message: it must be the same task.
    task_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"stomp:{message_id}"))
    return {
        "lang": "py",
        "task": task,
        "id": task_id,
        "root_id": task_id,
        "parent_id": None,
        "group": None,
        "shadow": None,
        "eta": None,
        "expires": None,
        "retries": 0,
        "timelimit": [None, None],
        "argsrepr": body[1:201].decode(errors="replace"),
        "kwargsrepr": "{}",
        "origin": frame.headers.get("destination", ""),
        "ignore_result": True,
        **{name: frame.headers[name] for name in _OF_ANSWERS if name in frame.headers},
    }, body


@dataclass(frozen=True)
class Outlet:
    """An exchange that is a plain destination: tasks go out as their first argument, in JSON.

    `{routing_key}` in `destination` stands for what a message is published with. `headers` names fields of the document
    that go along as STOMP headers, for selectors; `fixed` are headers that all have.
    """

    destination: str
    headers: tuple[str, ...] = ()
    fixed: Mapping[str, str] = field(default_factory=dict)

    def document(self, body: bytes, headers: Mapping[str, Any]) -> tuple[bytes, dict[str, str]]:
        """Body and headers for the task message `body` with these headers.

        Raises:
            ValueError: it is no call of a task with a positional argument, in JSON.
        """
        try:
            document = json.loads(body)[0][0]
        except (ValueError, LookupError, TypeError) as error:
            raise ValueError(
                f"{self.destination} takes tasks with one argument, in JSON: {error!r}"
            ) from None
        fields = document if isinstance(document, dict) else {}
        texts = {name: _header_value(fields[name]) for name in self.headers if fields.get(name) is not None}
        fitting = {name: text for name, text in texts.items() if len(text) <= _HEADER_VALUE_LIMIT}
        along = {name: str(headers[name]) for name in (*_OF_ANSWERS, ORIGINAL_ID) if name in headers}
        return json.dumps(document).encode(), {**self.fixed, **fitting, **along}


def _header_value(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value)).replace("\0", "")
