"""What a client is sent, and from where on: as it asks, within what it may read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..access import NotAllowed, Reader
from .events import Wish, wish_of

# Whoever is further behind had better read the journal's pages, or begin anew.
MOST_BEHIND = 100_000


class Gone(Exception):
    """There is no going on from where the client was; the text says what to do."""


def wish_in(scope: dict[str, Any], reader: Reader) -> Wish:
    """The wish of this request, kept to the namespace of the reader's token.

    Raises:
        BadQuery: it asks for something that there is not.
        NotAllowed: it asks for another namespace.
    """
    last_event_id = dict(scope["headers"]).get(b"last-event-id", b"").decode("latin1").strip()
    wish = wish_of(scope["query_string"].decode("latin1"), last_event_id)
    if not reader.namespace:
        return wish
    if wish.namespace not in {"", reader.namespace}:
        raise NotAllowed(f"this token is good for the namespace {reader.namespace} only")
    return replace(wish, namespace=reader.namespace)


def position_of(wish: Wish, newest: int) -> int:
    """The position after which it begins: the one it names, or the newest.

    Raises:
        Gone: it is another journal's, or too far back.
    """
    position = newest if wish.last_event_id is None else wish.last_event_id
    if position > newest:
        raise Gone(
            f"the journal ends at {newest}, before the event {position}: it is another one; "
            "begin anew, without a last event id"
        )
    if newest - position > MOST_BEHIND:
        raise Gone(
            f"{newest - position} events have followed the event {position}, more than {MOST_BEHIND}: "
            f"read them from /api/journal/?after={position}, or begin anew, without a last event id"
        )
    return position
