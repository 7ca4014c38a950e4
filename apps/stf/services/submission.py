"""Tasks are given to PanDA once, those for STFs and those for workers alike: what is noted before, after, and when it cannot
be done."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.runs import journal

from ..models import ProcessingTask, WorkerTask

Task = ProcessingTask | WorkerTask


def begin_submission(task: Task) -> bool:
    """PanDA is about to be given this task. To be committed before it is asked.

    Returns:
        Whether it was tried before, so that PanDA may know it already.
    """
    rows = type(task)._default_manager.filter(pk=task.pk, submitting_at__isnull=True)
    return not rows.update(submitting_at=timezone.now())


@transaction.atomic
def mark_submitted(task: Task, jedi_task_id: int) -> bool:
    """PanDA knows this task by this id.

    Returns:
        False if an id was known already, which stays.
    """
    now = timezone.now()
    fields: dict[str, Any] = {"jedi_task_id": jedi_task_id, "reason": "", "submitted_at": now}
    if isinstance(task, ProcessingTask):
        fields |= {"status": "waiting", "changed_at": now}
    changed = _unknown_to_panda(task).update(**fields)
    if changed:
        journal.record(_change("submitted", task, jeditaskid=jedi_task_id))
    return bool(changed)


@transaction.atomic
def note_trouble(task: Task, reason: str) -> None:
    """Why the task cannot be submitted now. It is tried again; the same reason again is no news."""
    if _unknown_to_panda(task).exclude(reason=reason).update(reason=reason):
        journal.record(_change("trouble", task, reason=reason))


def _unknown_to_panda(task: Task) -> Any:
    return type(task)._default_manager.filter(pk=task.pk, jedi_task_id__isnull=True)


def _change(what: str, task: Task, **fields: object) -> journal.Change:
    of = "task" if isinstance(task, ProcessingTask) else "worker_task"
    return journal.Change(
        f"{of}_{what}", run=task.run, subject=task.task_name, payload={"site": task.site, **fields}
    )
