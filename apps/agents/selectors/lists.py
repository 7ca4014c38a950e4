"""Dead letters, incidents, logs and subscribers."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.db.models import Count, F, QuerySet, Window
from django.db.models.functions import RowNumber

from apps.runs.errors import NotFound

from ..choices import IncidentState, LetterState
from ..models import AppLog, DeadLetter, Incident, Subscriber
from ..registry import AGENTS

ERROR = 40
# Of the errors of an instance, a summary shows so many of the newest.
_RECENT = 5


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


def log_list() -> QuerySet[AppLog]:
    """All records of logs, the last received first."""
    return AppLog.objects.order_by("-pk")


def subscriber_list() -> QuerySet[Subscriber]:
    """All subscribers by name."""
    return Subscriber.objects.order_by("subscriber_name")


@dataclass
class ErrorSummary:
    """The errors of one instance of a program: how many by level, and the newest."""

    error_counts: dict[str, int] = field(default_factory=dict)
    recent_errors: list[AppLog] = field(default_factory=list)


def log_summary(logs: QuerySet[AppLog]) -> dict[str, dict[str, ErrorSummary]]:
    """The errors among these records, by program and instance; two queries."""
    errors = logs.order_by().filter(level__gte=ERROR)
    summary: dict[str, dict[str, ErrorSummary]] = {}
    for row in errors.values("app_name", "instance_name", "levelname").annotate(count=Count("pk")):
        found = summary.setdefault(row["app_name"], {}).setdefault(row["instance_name"], ErrorSummary())
        found.error_counts[row["levelname"]] = row["count"]
    in_order = Window(RowNumber(), partition_by=[F("app_name"), F("instance_name")], order_by=F("pk").desc())
    for log in errors.annotate(nth=in_order).filter(nth__lte=_RECENT).order_by("-pk"):
        summary.setdefault(log.app_name, {}).setdefault(
            log.instance_name, ErrorSummary()
        ).recent_errors.append(log)
    return summary
