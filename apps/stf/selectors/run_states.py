"""The states of runs with the counts of their fast path, for the existing system's columns."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.runs.models import Run
from apps.runs.related import with_related

_COUNTS = (
    "target_worker_count",
    "stf_samples_received",
    *(f"slices_{what}" for what in ("created", "queued", "claimed", "done", "failed", "skipped")),
)


def run_state_list() -> QuerySet[Run]:
    """All runs with the name of their execution and the counts of their fast path, the newest first."""
    runs = Run.objects.defer("run_conditions", "requested_at", "start_time", "end_time", "closed_at")
    return with_related(runs.order_by("-run_number"), execution=["execution_id"], fast=_COUNTS)
