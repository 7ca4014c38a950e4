"""The states of runs with the counts of their fast path, for the existing system's columns."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.runs.models import Run


def run_state_list() -> QuerySet[Run]:
    """All runs with execution and fast path, the newest first."""
    return Run.objects.select_related("execution", "fast").order_by("-run_number")
