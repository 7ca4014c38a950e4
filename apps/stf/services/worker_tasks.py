"""PanDA tasks whose jobs are workers: made when workers are missing, followed to the end of their jobs."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.runs import journal
from apps.runs.models import Run

from ..models import FastRun, WorkerTask


@transaction.atomic
def make_worker_task(run: Run, jobs: int, site: str) -> WorkerTask | None:
    """One more task for a run, of so many workers at this site; None if the run needs none any more."""
    fast = FastRun.objects.select_for_update().filter(run=run, drained_at__isnull=True).first()
    if fast is None:
        return None
    number = WorkerTask.objects.filter(run=run).count() + 1
    name = f"user.{settings.PANDA_NICKNAME}.swf.{run}.workers.{number}/"
    task = WorkerTask.objects.create(run=run, task_name=name, site=site, jobs=jobs, open_jobs=jobs)
    journal.record(_change("worker_task_made", task, jobs=jobs, site=site))
    return task


def note_open_jobs(task: WorkerTask, count: int) -> None:
    """So many of the task's workers may still come or are at work."""
    WorkerTask.objects.filter(pk=task.pk).update(open_jobs=min(count, task.jobs))


@transaction.atomic
def end_worker_task(task: WorkerTask, reason: str) -> None:
    """No worker of this task is left, or comes any more."""
    changed = WorkerTask.objects.filter(pk=task.pk, ended_at__isnull=True).update(
        ended_at=timezone.now(), open_jobs=0, reason=reason
    )
    if changed:
        journal.record(_change("worker_task_ended", task, reason=reason))


def _change(kind: str, task: WorkerTask, **payload: object) -> journal.Change:
    return journal.Change(kind, run=task.run, subject=task.task_name, payload=payload)
