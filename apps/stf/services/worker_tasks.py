"""PanDA tasks whose jobs are workers: made when workers are missing, submitted once, followed to the end of their jobs."""

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


def begin_worker_task(task: WorkerTask) -> bool:
    """PanDA is about to be given this task. To be committed before it is asked.

    Returns:
        Whether it was tried before, so that PanDA may know it already.
    """
    fresh = WorkerTask.objects.filter(pk=task.pk, submitting_at__isnull=True).update(
        submitting_at=timezone.now()
    )
    return not fresh


@transaction.atomic
def mark_worker_task_submitted(task: WorkerTask, jedi_task_id: int) -> None:
    """PanDA knows this task by this id; an id that was known already stays."""
    changed = WorkerTask.objects.filter(pk=task.pk, jedi_task_id__isnull=True).update(
        jedi_task_id=jedi_task_id, submitted_at=timezone.now(), reason=""
    )
    if changed:
        journal.record(_change("worker_task_submitted", task, jeditaskid=jedi_task_id))


@transaction.atomic
def note_worker_task_trouble(task: WorkerTask, reason: str) -> None:
    """Why the task cannot be submitted now. It is tried again; the same reason again is no news."""
    waiting = WorkerTask.objects.filter(pk=task.pk, jedi_task_id__isnull=True)
    if waiting.exclude(reason=reason).update(reason=reason):
        journal.record(_change("worker_task_trouble", task, reason=reason))


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
