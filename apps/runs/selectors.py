"""Reads of runs and their journal. All return querysets or typed values; nothing here writes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db.models import QuerySet

from .choices import AWAITING_CLOSEOUT
from .errors import NotFound
from .models import JournalCursor, JournalEntry, Run


def run_list() -> QuerySet[Run]:
    """All runs, newest first, with what a row of a list shows."""
    return Run.objects.select_related("execution__workflow_definition", "namespace")


def get_run(run_number: int) -> Run:
    """One run.

    Raises:
        NotFound: there is none of this number.
    """
    run = run_list().filter(run_number=run_number).first()
    if run is None:
        raise NotFound(f"there is no run {run_number}")
    return run


def runs_awaiting_closeout() -> QuerySet[Run]:
    """Runs that have ended and may still change their verdict."""
    return run_list().filter(lifecycle__in=AWAITING_CLOSEOUT).order_by("run_number")


def run_timeline(run: Run, *, leave_out: Iterable[str] = ()) -> QuerySet[JournalEntry]:
    """The run's journal in the order it was written."""
    return run.journal.exclude(kind__in=list(leave_out)).order_by("id")


def entries_after(position: int, *, limit: int) -> list[JournalEntry]:
    """The next entries for a follower that has seen everything up to `position`, in order of position."""
    return list(
        JournalEntry.objects.filter(position__gt=position)
        .select_related("run__execution", "namespace")
        .order_by("position")[:limit]
    )


def newest_position() -> int:
    """The position up to which the journal is sequenced; 0 when it is empty."""
    newest = JournalEntry.objects.filter(position__isnull=False).order_by("-position").first()
    return newest.position or 0 if newest else 0


def unsequenced_since() -> datetime | None:
    """When the oldest entry was made that the relay has not sequenced yet; None when it is up to date."""
    oldest = JournalEntry.objects.filter(position__isnull=True).order_by("id").first()
    return oldest.occurred_at if oldest else None


def cursor_position(follower: str) -> int:
    """How far this follower has come; 0 before its first step."""
    cursor = JournalCursor.objects.filter(follower=follower).first()
    return cursor.position if cursor else 0
