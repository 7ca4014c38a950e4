"""PanDA's tasks, one per run and site: followed in PanDA's own words, commanded by people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.runs import journal
from apps.runs.errors import DomainError, NotFound
from apps.runs.models import Run

from ..choices import FINAL_TASK, ProcessingState, TaskCommand
from ..models import ProcessingTask, StfProcessing

RELOAD_FIRST = timedelta(seconds=5)
MOST_RELOADS = 5


@dataclass(frozen=True)
class TaskReport:
    """What PanDA says of one task: its state in PanDA's word, and why, if it says so."""

    jedi_task_id: int
    status: str
    reason: str = ""


@transaction.atomic
def apply_task_reports(reports: Sequence[TaskReport]) -> None:
    """Apply what PanDA says of tasks; those that are not ours are left out.

    Of the comings and goings while a task is open only what has a reason is journalled.
    """
    said = {report.jedi_task_id: report for report in reports}
    tasks = ProcessingTask.objects.select_for_update(of=("self",)).select_related("run")
    changes = []
    for task in tasks.filter(jedi_task_id__in=said).order_by("pk"):
        report = said[task.jedi_task_id or 0]
        if (task.status, task.reason) == (report.status, report.reason):
            continue
        was_final = task.status in FINAL_TASK
        news = report.reason != task.reason or was_final or report.status in FINAL_TASK
        task.status, task.reason, task.changed_at = report.status, report.reason, timezone.now()
        task.save(update_fields=["status", "reason", "changed_at"])
        if news:
            changes.append(_change("task_status", task, status=task.status, reason=task.reason))
    journal.record_many(changes)


@transaction.atomic
def request_command(
    run_number: int, site: str, command: TaskCommand, *, by: str, reason: str = ""
) -> ProcessingTask:
    """Ask for a task to be killed, finished, retried or given its input anew; the processing agent does it.

    A retry also lets what has failed there wait again. Retry and reload wait until the task has ended.

    Raises:
        NotFound: the run has no task at this site.
        DomainError: the command is unknown, has no name, or PanDA does not know the task yet.
    """
    if command not in TaskCommand.values:
        raise DomainError(f"there is no command {command!r}; there are {', '.join(TaskCommand.values)}")
    if not by.strip():
        raise DomainError(f"{command} needs a name (by): it stays with the task")
    task = (
        ProcessingTask.objects.select_for_update(of=("self",))
        .select_related("run")
        .filter(run__run_number=run_number, site=site)
        .first()
    )
    if task is None:
        raise NotFound(f"run {run_number} has no task at {site}")
    if task.jedi_task_id is None:
        raise DomainError(
            f"{task} is not submitted yet: there is nothing to {command}; the brake holds it back"
        )
    _command(task, command, by=by, reason=reason)
    if command == TaskCommand.RETRY:
        _wait_again(task.run, site=site)
    return task


def retry_failed_processings(run: Run, *, by: str) -> int:
    """Let what has failed wait again, and have PanDA retry its tasks. Belongs into the transaction that says so.

    Returns:
        How many processings had failed.
    """
    sites = set(
        StfProcessing.objects.filter(run=run, state=ProcessingState.FAILED).values_list("site", flat=True)
    )
    tasks = ProcessingTask.objects.select_for_update().filter(run=run, site__in=sites).order_by("pk")
    for task in tasks.filter(jedi_task_id__isnull=False):
        _command(task, TaskCommand.RETRY, by=by)
    return _wait_again(run)


@transaction.atomic
def finish_command(task: ProcessingTask, outcome: str, *, accepted: bool = True) -> None:
    """PanDA was told, and answered so. Says nothing if another command has come in between."""
    changed = ProcessingTask.objects.filter(
        pk=task.pk, command=task.command, command_at=task.command_at, command_done_at__isnull=True
    ).update(
        command_outcome=outcome,
        command_accepted=accepted,
        command_done_at=timezone.now(),
        reloads=0,
        reload_at=None,
    )
    if changed:
        journal.record(
            _change("task_commanded", task, command=task.command, by=task.command_by, outcome=outcome)
        )


def postpone_command(task: ProcessingTask, why: str) -> None:
    """The command waits, for this reason."""
    ProcessingTask.objects.filter(
        pk=task.pk, command_at=task.command_at, command_done_at__isnull=True
    ).exclude(command_outcome=why).update(command_outcome=why)


def note_reload(task: ProcessingTask) -> None:
    """PanDA was asked to look at the task's input again. The next time comes after a longer pause."""
    pause = RELOAD_FIRST * 2 ** min(task.reloads, 10)
    ProcessingTask.objects.filter(pk=task.pk, reloads=task.reloads).update(
        reloads=F("reloads") + 1, reload_at=timezone.now() + pause
    )


def _command(task: ProcessingTask, command: TaskCommand, *, by: str, reason: str = "") -> None:
    task.command, task.command_by, task.command_reason = command, by, reason
    task.command_at, task.command_done_at = timezone.now(), None
    task.command_outcome, task.command_accepted = "", None
    task.save()
    with journal.on_behalf_of(by):
        journal.record(_change("task_command", task, command=command.value, reason=reason))


def _wait_again(run: Run, **where: str) -> int:
    return StfProcessing.objects.filter(run=run, state=ProcessingState.FAILED, **where).update(
        state=ProcessingState.WAITING, changed_at=timezone.now()
    )


def _change(kind: str, task: ProcessingTask, **fields: object) -> journal.Change:
    return journal.Change(kind, run=task.run, subject=task.task_name, payload={"site": task.site, **fields})
