"""What becomes of a message that was parked: its agent is given it again, or it is discarded with a reason.

A replay is a row that the agent finds, not a message: so it needs no broker, and survives every restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.runs import journal
from apps.runs.errors import DomainError, NotFound

from ..choices import LetterState, MessageOutcome
from ..models import DeadLetter, InboundMessage
from ..registry import AGENTS

_NO_REQUEST: dict[str, Any] = {"replay_requested_at": None, "replay_requested_by": ""}
_NOT_DISCARDED: dict[str, Any] = {"discarded_at": None, "discarded_by": "", "discarded_reason": ""}


@transaction.atomic
def request_replay(letter_ids: Iterable[int], *, by: str) -> int:
    """Have these letters given to their agents again, with all their attempts before them.

    Args:
        by: who asks; stays with the letter and is the actor in the journal.

    Returns:
        How many this call has asked for; letters that wait for their replay or had it already are left alone.

    Raises:
        NotFound: a letter does not exist.
        DomainError: a letter has no agent to be given to, or `by` is empty. Then none is asked for.
    """
    if not by.strip():
        raise DomainError("a replay needs a name (by): it stays with the message")
    chosen = {LetterState.OPEN, LetterState.DISCARDED}
    letters = [letter for letter in _locked(letter_ids) if letter.state in chosen]
    for letter in letters:
        _check_agent(letter)
    _rows(letters).update(
        state=LetterState.REQUESTED,
        replay_requested_at=timezone.now(),
        replay_requested_by=by,
        **_NOT_DISCARDED,
    )
    _change_outcome(letters, MessageOutcome.PARKED, MessageOutcome.RECEIVED, attempts=0, finished_at=None)
    with journal.on_behalf_of(by):
        journal.record_many([_change("message_replayed", letter, letter.reason) for letter in letters])
    return len(letters)


@transaction.atomic
def discard(letter_ids: Iterable[int], *, by: str, reason: str) -> int:
    """Set these letters aside: nobody needs to look at them any more. A replay that was asked for is taken back.

    Returns:
        How many this call has discarded; those that were discarded before keep their first reason.

    Raises:
        NotFound: a letter does not exist.
        DomainError: a letter was replayed already, or name or reason are empty. Then none is discarded.
    """
    if not by.strip() or not reason.strip():
        raise DomainError("discarding needs a name (by) and a reason: both stay with the message")
    letters = [letter for letter in _locked(letter_ids) if letter.state != LetterState.DISCARDED]
    for letter in letters:
        if letter.state == LetterState.REPLAYED:
            raise DomainError(f"dead letter {letter.pk} was replayed: there is nothing to discard")
    _rows(letters).update(
        state=LetterState.DISCARDED,
        discarded_at=timezone.now(),
        discarded_by=by,
        discarded_reason=reason,
        **_NO_REQUEST,
    )
    _change_outcome(letters, MessageOutcome.RECEIVED, MessageOutcome.PARKED, finished_at=timezone.now())
    with journal.on_behalf_of(by):
        journal.record_many([_change("message_discarded", letter, reason) for letter in letters])
    return len(letters)


def finish_replay(letter: DeadLetter) -> None:
    """The agent was given this letter, and has not parked it again. What was decided meanwhile is left alone."""
    DeadLetter.objects.filter(pk=letter.pk, replay_requested_at=letter.replay_requested_at).update(
        state=LetterState.REPLAYED, replayed_at=timezone.now(), replays=F("replays") + 1
    )


def reopen(letter: DeadLetter, reason: str) -> None:
    """The agent was given this letter, and parks it again. Belongs into the transaction that does so."""
    DeadLetter.objects.filter(pk=letter.pk).update(
        state=LetterState.OPEN,
        reason=reason,
        parked_at=timezone.now(),
        replays=F("replays") + 1,
        **_NO_REQUEST,
    )


def _locked(letter_ids: Iterable[int]) -> list[DeadLetter]:
    """The letters, oldest first, locked until the transaction ends."""
    ids = set(letter_ids)
    letters = list(DeadLetter.objects.select_for_update().filter(pk__in=ids).order_by("pk"))
    if missing := sorted(ids - {letter.pk for letter in letters}):
        raise NotFound(f"there is no dead letter {', '.join(map(str, missing))}")
    return letters


def _check_agent(letter: DeadLetter) -> None:
    if letter.agent == "relay":
        raise DomainError(
            f"dead letter {letter.pk} cannot be replayed: it is a journal entry that makes no valid "
            f"{letter.msg_type or 'message'}, which the relay could not publish; discard it once its cause is mended"
        )
    if letter.agent not in AGENTS:
        raise DomainError(
            f"dead letter {letter.pk} cannot be replayed: there is no agent {letter.agent!r}, "
            f"there are {', '.join(AGENTS)}"
        )


def _rows(letters: Sequence[DeadLetter]) -> Any:
    return DeadLetter.objects.filter(pk__in=[letter.pk for letter in letters])


def _change_outcome(
    letters: Sequence[DeadLetter], old: MessageOutcome, new: MessageOutcome, **fields: Any
) -> None:
    """Give the inbox rows of these letters their new outcome. What was never understood has no such row."""
    for agent, those in groupby(sorted(letters, key=lambda each: each.agent), lambda each: each.agent):
        ids = [letter.msg_id for letter in those]
        InboundMessage.objects.filter(agent=agent, msg_id__in=ids, outcome=old).update(outcome=new, **fields)


def _change(kind: str, letter: DeadLetter, reason: str) -> journal.Change:
    return journal.Change(
        kind,
        subject=letter.msg_type,
        payload={
            "letter": letter.pk,
            "agent": letter.agent,
            "msg_type": letter.msg_type,
            "reason": reason,
        },
    )
