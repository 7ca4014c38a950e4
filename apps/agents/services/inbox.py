"""The record of every message an agent was given: handled once, or parked with its reason."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from apps.runs import journal

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


class AlreadyKnown(Exception):
    """A message was given to its agent before."""


def begin(agent: str, *, msg_id: UUID, msg_type: str, run_number: int | None, earlier: int = 0) -> Attempt:
    """Count an attempt, and commit the count before anything can go wrong.

    `earlier` attempts are added to that of a message which is not known yet: they were made without being counted.

    The commit does not wait for the disk: the count is to outlive this process, not the machine. A later commit that
    waits has it written too.
    """
    table = InboundMessage._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{table}" AS known '  # noqa: S608 - own table name
            "(agent, msg_id, msg_type, run_number, attempts, outcome, reason, received_at) "
            "VALUES (%s, %s, %s, %s, %s, %s, '', now()) "
            "ON CONFLICT (agent, msg_id) DO UPDATE SET attempts = known.attempts + (known.outcome = %s)::int "
            "RETURNING attempts, outcome, reason, set_config('synchronous_commit', 'off', true)",
            [agent, msg_id, msg_type, run_number, 1 + earlier, *[MessageOutcome.RECEIVED] * 2],
        )
        attempts, outcome, reason, _ = cursor.fetchone()
    return Attempt(attempts, finished=outcome != MessageOutcome.RECEIVED, last_failure=reason)


def note_handled(agent: str, messages: Sequence[Incoming]) -> None:
    """The handlers of these messages are through, at the first attempt. Belongs into their transaction, as its last step.

    Raises:
        AlreadyKnown: one of them was given to this agent before.
    """
    if not messages:
        return
    table = InboundMessage._meta.db_table
    columns: list[list[Any]] = [
        [message.msg_id for message in messages],
        [message.msg_type for message in messages],
        [message.run_number for message in messages],
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{table}" (agent, msg_id, msg_type, run_number, attempts, outcome, reason, '  # noqa: S608 - own table name
            "received_at, finished_at) "
            "SELECT %s, msg_id, msg_type, run_number, 1, %s, '', now(), clock_timestamp() "
            "FROM unnest(%s::uuid[], %s::text[], %s::bigint[]) AS new (msg_id, msg_type, run_number) "
            "ON CONFLICT DO NOTHING",
            [agent, MessageOutcome.DONE, *columns],
        )
        if cursor.rowcount < len(messages):
            raise AlreadyKnown


def note_failure(agent: str, msg_id: UUID, reason: str) -> None:
    """The attempt failed; the message will be delivered again. Belongs outside the handler's transaction."""
    InboundMessage.objects.filter(agent=agent, msg_id=msg_id).update(reason=_storable(reason))


def finish(agent: str, msg_id: UUID, *, outcome: MessageOutcome = MessageOutcome.DONE) -> None:
    """The handler of a message whose attempts are counted is through. Belongs into its transaction."""
    table = InboundMessage._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f'UPDATE "{table}" SET outcome = %s, finished_at = %s WHERE agent = %s AND msg_id = %s',  # noqa: S608 - own table name
            [outcome, timezone.now(), agent, msg_id],
        )


def forget(agent: str, msg_id: UUID) -> None:
    """As `finish`, of a message that may be handled twice and of whose kind there are too many to be kept."""
    InboundMessage.objects.filter(agent=agent, msg_id=msg_id).delete()


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
