"""Reads of agents' own tables. All return querysets or typed values; nothing here writes."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.runs.errors import NotFound

from .choices import IncidentState, LetterState
from .models import DeadLetter, Incident
from .registry import AGENTS


def letter_list() -> QuerySet[DeadLetter]:
    """All dead letters, newest first, whatever became of them."""
    return DeadLetter.objects.order_by("-pk")


def open_letters() -> QuerySet[DeadLetter]:
    """Letters that somebody should look at, newest first."""
    return letter_list().filter(state=LetterState.OPEN)


def replayable_letters(*, agent: str = "", msg_type: str = "") -> QuerySet[DeadLetter]:
    """Open letters that have an agent to be given to; all, or those of this agent and message type."""
    letters = open_letters().filter(agent__in=[agent] if agent else AGENTS)
    return letters.filter(msg_type=msg_type) if msg_type else letters


def get_letter(letter_id: int) -> DeadLetter:
    """One dead letter.

    Raises:
        NotFound: there is none of this id.
    """
    letter = DeadLetter.objects.filter(pk=letter_id).first()
    if letter is None:
        raise NotFound(f"there is no dead letter {letter_id}")
    return letter


def next_replay(agent: str) -> DeadLetter | None:
    """The oldest letter that this agent is to be given again."""
    return DeadLetter.objects.filter(agent=agent, state=LetterState.REQUESTED).order_by("pk").first()


def incident_list() -> QuerySet[Incident]:
    """All incidents with their runs, newest first, whatever became of them."""
    return Incident.objects.select_related("run").order_by("-pk")


def current_incidents() -> QuerySet[Incident]:
    """Incidents that are not cleared, newest first."""
    return incident_list().exclude(state=IncidentState.CLEARED)
