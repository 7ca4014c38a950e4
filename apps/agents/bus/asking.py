"""What somebody who asks by a plain message wants of the answer: where it is to go, and what it is to bring back.

Commands for the testbed and commands for runs have this in common. Nothing else of the project is needed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# What a message brings for its sender's own use: the answer brings it back.
ECHOED = ("msg_id", "correlation_id")
# The same as STOMP has it.
REPLY_TO, CORRELATION_ID = "reply-to", "correlation-id"
# One destination: not several at once, and no pattern. Temporary ones have such names for others than their owner.
_DESTINATION = re.compile(r"/(?:remote-temp-)?(?:queue|topic)/[^\s\0,*>?/][^\s\0,*>?]*")


def destination(given: object) -> str | None:
    """The STOMP destination that is meant, by its name or that of a queue; None when it is none."""
    if not isinstance(given, str):
        return None
    whole = given if given.startswith("/") else f"/queue/{given}"
    return whole if _DESTINATION.fullmatch(whole) else None


def answer_to(fields: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
    """Where the answer is to go: as the field `reply_to` says, else the header; None if nobody waits for it."""
    return destination(fields.get("reply_to")) or destination(headers.get(REPLY_TO))


def echo(fields: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    """What the answer brings back, by field; the header `correlation-id` counts where there is no such field."""
    found = {name: fields[name] for name in ECHOED if name in fields}
    if CORRELATION_ID in headers:
        found.setdefault("correlation_id", headers[CORRELATION_ID])
    return found
