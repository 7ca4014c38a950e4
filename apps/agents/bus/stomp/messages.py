"""kombu's messages as STOMP frames and back: what is in them, and what becomes of a frame that is put back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from kombu.message import Message
from kombu.utils.encoding import str_to_bytes
from kombu.utils.json import dumps, loads

from .destinations import Routes
from .foreign import ORIGINAL_ID
from .frames import Frame, encode

# Header of a message that carries kombu's own part in front of its body; the value is the length of that part.
# (A header line of more than 10 kB ends the connection, so kombu's headers cannot all be STOMP's.)
ENVELOPE = "kombu_envelope"
REDELIVERED = "kombu_redelivered"
# Of one delivery, not of the message: they do not go along when it is put back.
_DELIVERY_HEADERS = frozenset(
    {
        "ack",
        "subscription",
        "message-id",
        "content-length",
        "redelivered",
        "timestamp",
        "original-destination",
    }
    | {"scheduledJobId", "brokerInTime", "brokerOutTime"}
)


class Send(NamedTuple):
    """A SEND that is to be made. A text is for other clients; of kombu's own messages the broker sees bytes."""

    headers: dict[str, Any]
    body: bytes
    is_text: bool = False

    def encode(self, **more: object) -> bytes:
        """The frame, with more headers."""
        return encode("SEND", {**self.headers, **more}, self.body, content_length=not self.is_text)


def as_sends(
    routes: Routes, message: dict[str, Any], exchange: str, routing_key: str, targets: Iterable[str]
) -> Iterator[Send]:
    """One SEND per target, or the one of a plain exchange.

    Args:
        message: as kombu's `prepare_message` makes it.

    Raises:
        ValueError: a plain exchange cannot take it.
    """
    body = str_to_bytes(message["body"])
    if outlet := routes.outlets.get(exchange):
        document, fields = outlet.document(body, message["headers"])
        always = {
            "destination": outlet.destination.replace("{routing_key}", routing_key),
            "content-type": "application/json",
            **_persistence(message["properties"]),
        }
        yield Send({**fields, **always}, document, is_text=True)
        return
    properties = {name: value for name, value in message["properties"].items() if name != "delivery_info"}
    envelope = dumps(
        {
            "headers": message["headers"],
            "properties": properties,
            "content_type": message["content-type"],
            "content_encoding": message["content-encoding"],
            "exchange": exchange,
            "routing_key": routing_key,
        }
    ).encode()
    headers = {ENVELOPE: len(envelope), **_broker_headers(routes, message["headers"], properties)}
    for target in targets:
        yield Send({"destination": target, **headers}, envelope + body)


def _broker_headers(routes: Routes, headers: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    """What the broker has to know."""
    made: dict[str, Any] = dict(_persistence(properties))
    if properties.get("priority"):
        made["priority"] = routes.dialect.priority(int(properties["priority"]))
    if properties.get("expiration"):
        made["expires"] = int(time.time() * 1000) + int(properties["expiration"])
    if eta := headers.get("eta"):
        delay = datetime.fromisoformat(eta).timestamp() - time.time() - routes.eta_lead
        if delay > 0:
            made |= routes.dialect.delayed(delay)
    return made


def _persistence(properties: dict[str, Any]) -> dict[str, str]:
    return {"persistent": "true"} if properties.get("delivery_mode", 2) == 2 else {}


def from_envelope(channel: Any, frame: Frame) -> Message:
    """The message that kombu sent.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: the envelope is not of its making.
    """
    length = int(frame.headers[ENVELOPE])
    envelope = loads(frame.body[:length])
    return make_message(channel, frame, body=frame.body[length:], **envelope)


def make_message(
    channel: Any,
    frame: Frame,
    headers: dict[str, Any],
    body: bytes,
    *,
    properties: dict[str, Any] | None = None,
    content_type: str = "application/json",
    content_encoding: str = "utf-8",
    exchange: str = "",
    routing_key: str = "",
) -> Message:
    """The message as Celery sees it; its delivery tag is what it is acknowledged by."""
    got = frame.headers
    properties = properties or {"correlation_id": headers["id"], "reply_to": None}
    return Message(
        body,  # type: ignore[arg-type]  # the stubs have only text
        channel=channel,
        delivery_tag=got.get("ack") or got["message-id"],
        content_type=content_type,
        content_encoding=content_encoding,
        headers=headers,
        properties=properties,
        delivery_info={
            "exchange": exchange,
            "routing_key": routing_key,
            "redelivered": got.get("redelivered") == "true" or REDELIVERED in got,
            "priority": properties.get("priority", 0),
        },
    )


def put_back(frame: Frame, transaction: str) -> bytes:
    """Frames that put a copy at the end of the queue and acknowledge the original.

    They are one transaction, which the broker rolls back if the connection breaks: no receipt is needed.
    """
    ours = {"transaction": transaction}
    kept = {name: value for name, value in frame.headers.items() if name not in _DELIVERY_HEADERS}
    kept.setdefault(ORIGINAL_ID, frame.headers.get("message-id", ""))
    copy = Send(kept, frame.body, is_text="content-length" not in frame.headers)
    ack = encode("ACK", {"id": frame.headers["ack"], **ours})
    return encode("BEGIN", ours) + copy.encode(**ours, **{REDELIVERED: "true"}) + ack + encode("COMMIT", ours)
