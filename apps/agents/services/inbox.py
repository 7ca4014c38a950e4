"""The record of every message an agent was given: handled once, counted, or parked with its reason."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.runs import journal
from apps.runs.inserting import insert_all

from ..choices import LetterState, MessageOutcome
from ..models import DeadLetter, InboundMessage
from .dead_letters import reopen

MAX_ATTEMPTS = 5


class Incoming(Protocol):
    """What the inbox knows a message by."""

    msg_id: UUID
    msg_type: str

    @property
    def run_number(self) -> int | None:
        """The run that it is about."""


@dataclass(frozen=True)
class Attempt:
    """How often a message was tried, this time included, whether it is finished already, and why it is not."""

    number: int
    finished: bool
    last_failure: str


def begin(agent: str, *, msg_id: UUID, msg_type: str, run_number: int | None) -> Attempt:
    """Count an attempt, and commit the count before anything can go wrong.

    The commit does not wait for the disk: the count is to outlive this process, not the machine. A later commit that
    waits has it written too.
    """
    table = InboundMessage._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{table}" AS known '  # noqa: S608 - own table name
            "(agent, msg_id, msg_type, run_number, attempts, outcome, reason, received_at) "
            "VALUES (%s, %s, %s, %s, 1, %s, '', now()) "
            "ON CONFLICT (agent, msg_id) DO UPDATE SET attempts = known.attempts + (known.outcome = %s)::int "
            "RETURNING attempts, outcome, reason, set_config('synchronous_commit', 'off', true)",
            [agent, msg_id, msg_type, run_number, MessageOutcome.RECEIVED, MessageOutcome.RECEIVED],
        )
        attempts, outcome, reason, _ = cursor.fetchone()
    return Attempt(attempts, finished=outcome != MessageOutcome.RECEIVED, last_failure=reason)


def begin_fresh(agent: str, messages: Sequence[Incoming]) -> bool:
    """Count the first attempt of all these messages at once, and commit it.

    Returns:
        Whether all of them are new to this agent. Those that are not have not been counted: `begin` does that one by one.
    """
    ids = {message.msg_id for message in messages}
    rows = [
        InboundMessage(agent=agent, msg_id=one.msg_id, msg_type=one.msg_type, run_number=one.run_number)
        for one in messages
    ]
    known = set(InboundMessage.objects.filter(agent=agent, msg_id__in=ids).values_list("msg_id", flat=True))
    if known or len(ids) < len(rows):
        return False
    try:
        insert_all(rows)
    except IntegrityError:
        return False
    return True


def note_failure(agent: str, msg_id: UUID, reason: str) -> None:
    """The attempt failed; the message will be delivered again. Belongs outside the handler's transaction."""
    InboundMessage.objects.filter(agent=agent, msg_id=msg_id).update(reason=_storable(reason))


def finish(agent: str, *msg_ids: UUID, outcome: MessageOutcome = MessageOutcome.DONE) -> None:
    """The handlers of these messages are through. Belongs into their transaction."""
    if not msg_ids:
        return
    table = InboundMessage._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f'UPDATE "{table}" SET outcome = %s, finished_at = %s '  # noqa: S608 - own table name
            "WHERE agent = %s AND msg_id = ANY(%s)",
            [outcome, timezone.now(), agent, list(msg_ids)],
        )


def forget(agent: str, *msg_ids: UUID) -> None:
    """As `finish`, of messages that may be handled twice and are too many to be kept."""
    if msg_ids:
        InboundMessage.objects.filter(agent=agent, msg_id__in=msg_ids).delete()


@transaction.atomic
def park(agent: str, body: Any, reason: str, *, msg_id: UUID) -> None:
    """Keep a message that cannot be handled, as it came, with the reason.

    A redelivered message that is parked again changes nothing. One that is being replayed is open again, with the new
    reason.
    """
    given = body.get("msg_type") if isinstance(body, dict) else None
    msg_type = _storable(given)[:100] if isinstance(given, str) else ""
    reason = _storable(reason)
    letter, is_new = DeadLetter.objects.select_for_update().get_or_create(
        agent=agent,
        msg_id=msg_id,
        defaults={
            "body": _storable(body if isinstance(body, str) else json.dumps(body)),
            "msg_type": msg_type,
            "reason": reason,
        },
    )
    InboundMessage.objects.filter(agent=agent, msg_id=msg_id).update(
        outcome=MessageOutcome.PARKED, reason=reason, finished_at=timezone.now()
    )
    if replayed := letter.state == LetterState.REQUESTED:
        reopen(letter, reason)
    if is_new or replayed:
        journal.record(
            journal.Change("message_parked", subject=msg_type, payload={"agent": agent, "reason": reason})
        )


def parked_reason(agent: str, msg_id: UUID) -> str:
    """Why the message was parked; "" if it was not."""
    letter = DeadLetter.objects.filter(agent=agent, msg_id=msg_id).first()
    return letter.reason if letter else ""


def _storable(text: str) -> str:
    """The text, with what PostgreSQL cannot store (NUL, lone surrogates) written out: parking must never fail."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
