"""The outbox relay: gives committed journal entries their position, and publishes them in that order, at least once.

Two steps, two loops, so that a broker that is away never holds up the live pages:

* `sequence` numbers what was committed since, under a lock that lets no second relay in between, and tells the listeners.
* `Publisher.step` sends what is beyond the cursor `bus`, then moves the cursor. Killed in between, it sends again; the
  receivers know a message by its id.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from celery import current_app
from django.db import connection, transaction
from django.utils import timezone
from pydantic import ValidationError

from apps.runs.live.channel import LIVE_CHANNEL
from apps.runs.models import JournalCursor, JournalEntry
from apps.runs.selectors import cursor_position, entries_after, newest_position

from .. import services
from .outgoing import message_of
from .sending import Outgoing, Sender
from .topology import ALSO_TO, ANYWHERE, EPICTOPIC, is_plain

log = logging.getLogger(__name__)

BATCH = 200
FOLLOWER = "bus"
_SEQUENCER_LOCK = 5_741_001  # any number that no other part of the testbed locks on

_SEQUENCE = """
WITH fresh AS (
    SELECT id, row_number() OVER (ORDER BY id) AS nth FROM (
        SELECT id FROM runs_journalentry WHERE position IS NULL ORDER BY id LIMIT %(limit)s
    ) AS waiting
), newest AS (
    SELECT coalesce(max(position), 0) AS position FROM runs_journalentry
)
UPDATE runs_journalentry AS entry SET position = newest.position + fresh.nth
FROM fresh, newest WHERE entry.id = fresh.id
RETURNING entry.position
"""


def sequence() -> bool:
    """Give positions to committed entries, a batch at a time; True when there may be more.

    Only what is committed is visible here, and only one transaction at a time gets past the lock: so positions become
    visible in order, without holes, whatever order the entries' own transactions ended in.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_SEQUENCER_LOCK])
        cursor.execute(_SEQUENCE, {"limit": BATCH})
        positions = [row[0] for row in cursor.fetchall()]
        if positions:
            cursor.execute("SELECT pg_notify(%s, %s)", [LIVE_CHANNEL, str(max(positions))])
    return len(positions) == BATCH


def backlog() -> int:
    """How many entries have a position that the bus has not come to."""
    return newest_position() - cursor_position(FOLLOWER)


class Publisher:
    """Sends sequenced entries to the bus, over one connection that is made anew when it breaks."""

    def __init__(self) -> None:
        self._sender = Sender()

    def step(self) -> bool:
        """Publish the next batch and move the cursor; True when there may be more.

        Raises:
            RetryableError: the broker does not answer; the cursor stays.
        """
        position = cursor_position(FOLLOWER)
        entries = entries_after(position, limit=BATCH)
        if not entries:
            return False
        self._sender.send(
            [one for entry in entries if (message := as_message(entry)) for one in _ways(message)]
        )
        JournalCursor.objects.update_or_create(
            follower=FOLLOWER, defaults={"position": entries[-1].position or 0, "moved_at": timezone.now()}
        )
        return len(entries) == BATCH

    def close(self) -> None:
        """Drop the connection; the next step makes a new one."""
        self._sender.close()


def _ways(message: dict[str, Any]) -> Iterator[Outgoing]:
    msg_type = message["msg_type"]
    yield Outgoing(message, EPICTOPIC, msg_type)
    if msg_type in ALSO_TO and is_plain(current_app):
        yield Outgoing(message, ANYWHERE, ALSO_TO[msg_type])


def as_message(entry: JournalEntry) -> dict[str, Any] | None:
    """The entry as it goes on the bus; None for kinds that concern the journal's readers only, and for what was heard there.

    An entry that does not make a valid message is a bug of its writer: it is parked, so that it holds up no other.
    """
    if entry.heard:
        return None
    try:
        return message_of(entry)
    except ValidationError as error:
        log.error("journal entry %s (%s) makes no message: %s", entry.pk, entry.kind, error)
        services.park("relay", entry.payload | {"msg_type": entry.kind}, str(error), msg_id=entry.msg_id)
        return None
