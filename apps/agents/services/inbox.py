"""The record of every message an agent was given: handled once, counted, or parked with its reason."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from apps.runs import journal

from ..choices import MessageOutcome
from ..models import DeadLetter, InboundMessage

MAX_ATTEMPTS = 5


@dataclass(frozen=True)
class Attempt:
    """How often a message was tried, this time included, whether it is finished already, and why it is not."""

    number: int
    finished: bool
    last_failure: str


def begin(agent: str, *, msg_id: UUID, msg_type: str, run_number: int | None) -> Attempt:
    """Count an attempt, and commit the count before anything can go wrong."""
    table = InboundMessage._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{table}" AS known '  # noqa: S608 - own table name
            "(agent, msg_id, msg_type, run_number, attempts, outcome, reason, received_at) "
            "VALUES (%s, %s, %s, %s, 1, %s, '', now()) "
            "ON CONFLICT (agent, msg_id) DO UPDATE SET attempts = known.attempts + (known.outcome = %s)::int "
            "RETURNING attempts, outcome, reason",
            [agent, msg_id, msg_type, run_number, MessageOutcome.RECEIVED, MessageOutcome.RECEIVED],
        )
        attempts, outcome, reason = cursor.fetchone()
    return Attempt(attempts, finished=outcome != MessageOutcome.RECEIVED, last_failure=reason)


def note_failure(agent: str, msg_id: UUID, reason: str) -> None:
    """The attempt failed; the message will be delivered again. Belongs outside the handler's transaction."""
    InboundMessage.objects.filter(agent=agent, msg_id=msg_id).update(reason=_storable(reason))


def finish(agent: str, msg_id: UUID, outcome: MessageOutcome = MessageOutcome.DONE) -> None:
    """The handler is through. Belongs into its transaction."""
    InboundMessage.objects.filter(agent=agent, msg_id=msg_id).update(
        outcome=outcome, finished_at=timezone.now()
    )


@transaction.atomic
def park(agent: str, body: Any, reason: str, *, msg_id: UUID | None = None) -> None:
    """Keep a message that cannot be handled, as it came, with the reason. Parking it again changes nothing."""
    given = body.get("msg_type") if isinstance(body, dict) else None
    msg_type = _storable(given)[:100] if isinstance(given, str) else ""
    reason = _storable(reason)
    _, is_new = DeadLetter.objects.get_or_create(
        agent=agent,
        msg_id=str(msg_id or ""),
        defaults={
            "body": _storable(body if isinstance(body, str) else json.dumps(body)),
            "msg_type": msg_type,
            "reason": reason,
        },
    )
    if msg_id is not None:
        InboundMessage.objects.filter(agent=agent, msg_id=msg_id).update(
            outcome=MessageOutcome.PARKED, reason=reason, finished_at=timezone.now()
        )
    if is_new:
        journal.record(
            journal.Change("message_parked", subject=msg_type, payload={"agent": agent, "reason": reason})
        )


def _storable(text: str) -> str:
    """The text, with what PostgreSQL cannot store (NUL, lone surrogates) written out: parking must never fail."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
