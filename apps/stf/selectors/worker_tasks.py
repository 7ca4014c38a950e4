"""PanDA tasks whose jobs are workers, and the runs that want some."""

from __future__ import annotations

from django.db.models import QuerySet, Sum

from apps.runs.models import Run

from ..fast_parameters import fastproc_parameters
from ..models import FastRun, WorkerTask
from .slices import fast_runs_at_work


def worker_tasks_open() -> QuerySet[WorkerTask]:
    """The tasks whose jobs have not all ended, the oldest first."""
    return WorkerTask.objects.filter(ended_at__isnull=True).select_related("run__execution").order_by("pk")


def runs_with_panda_workers() -> list[FastRun]:
    """The fast paths at work whose workers are jobs of PanDA's, the oldest first."""
    return [fast for fast in fast_runs_at_work() if fastproc_parameters(fast.run).workers == "panda"]


def open_worker_jobs(run: Run) -> int:
    """How many workers of the run's tasks may still come or are at work."""
    total = WorkerTask.objects.filter(run=run, ended_at__isnull=True).aggregate(n=Sum("open_jobs"))["n"]
    return int(total or 0)
