"""The follower: hears from PanDA what has changed of tasks and jobs, and looks after STFs that PanDA does not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.utils import timezone

from apps.runs.errors import RetryableError
from apps.stf import selectors, services
from apps.stf.choices import FINAL_TASK, RELOADABLE_TASK, TaskCommand
from apps.stf.models import ProcessingTask, StfProcessing
from apps.stf.services import TaskReport, processing_parameters

from .jobs import JobWatch
from .panda import Panda, RefusedByPanda

# PanDA sets the time of a task's change an hour back when it wants to look at it at once.
OVERLAP = timedelta(minutes=90)
# PanDA needs a moment to carry out what it was told: until then it still calls the task ended.
TAKE_UP = timedelta(seconds=30)
# Of these states PanDA says why.
EXPLAINED = frozenset({"pending", "tobroken", "broken", "failed", "exhausted", "aborted", "throttled"})


class Follower:
    """Its step is the loop `follower` of the processing agent."""

    def __init__(self, panda: Panda) -> None:
        self._panda = panda
        self._jobs = JobWatch(panda)
        self._asked_at: datetime | None = None

    def step(self) -> bool:
        """Follow every task that may still change.

        Raises:
            RetryableError: PanDA is away, or refuses what is asked of some tasks. The others are followed.
        """
        tasks = selectors.tasks_to_follow()
        if not tasks:
            self._asked_at = None
            return False
        refusals = []
        self._follow_tasks(tasks)
        tasks = selectors.tasks_to_follow()
        self._jobs.keep(tasks)
        for task in tasks:
            try:
                self._jobs.look(task)
                self._look_after_stuck(task)
            except RefusedByPanda as refusal:
                refusals.append(f"{task}: PanDA refuses: {refusal}")
        if refusals:
            raise RetryableError("; ".join(refusals))
        return False

    def _follow_tasks(self, tasks: Sequence[ProcessingTask]) -> None:
        now = timezone.now()
        since = (self._asked_at or min(task.submitted_at or now for task in tasks)) - OVERLAP
        reports = []
        for label in sorted({processing_parameters(task.run).prod_source_label for task in tasks}):
            try:
                changed = self._panda.changed_tasks(since, label)
            except RefusedByPanda as refusal:
                raise RetryableError(f"PanDA refuses to list its tasks: {refusal}") from refusal
            known = selectors.known_statuses(facts.jedi_task_id for facts in changed)
            reports += [
                self._report(facts.jedi_task_id, facts.status)
                for facts in changed
                if known.get(facts.jedi_task_id, facts.status) != facts.status
            ]
        services.apply_task_reports(reports)
        self._asked_at = now

    def _report(self, jedi_task_id: int, status: str) -> TaskReport:
        why = self._panda.why(jedi_task_id) if status in EXPLAINED else ""
        return TaskReport(jedi_task_id, status, why)

    def _look_after_stuck(self, task: ProcessingTask) -> None:
        """STFs without an open job: PanDA has given them up, or has ended the task before it has seen them."""
        if _is_taken_up(task) or not (stuck := selectors.stuck_processings(task)):
            return
        states = self._panda.input_states(task.jedi_task_id or 0)
        reasons = {
            one.pk: why
            for one in stuck
            if (why := _why_given_up(task, one, states.get(one.stf.stf_filename)))
        }
        services.give_up(task, reasons)
        now = timezone.now()
        if len(reasons) < len(stuck) and selectors.may_reload(task, now=now, most=services.MOST_RELOADS):
            services.note_reload(task)
            self._panda.reload_input(task.jedi_task_id or 0)


def _is_taken_up(task: ProcessingTask) -> bool:
    """Whether PanDA is about to look at the task's input again, or was told to only now."""
    if task.command not in (TaskCommand.RETRY, TaskCommand.RELOAD):
        return False
    return task.command_done_at is None or timezone.now() < task.command_done_at + TAKE_UP


def _why_given_up(task: ProcessingTask, processing: StfProcessing, state: str | None) -> str:
    """Why PanDA will make no job of it any more; "" if it may."""
    if state == "failed" and _failed_since(processing, task.command_done_at, processing.attached_at):
        return f"PanDA has given up after {processing.attempts} failed jobs: {processing.reason}"
    if task.status not in FINAL_TASK:
        return ""
    said = f": {task.reason}" if task.reason else ""
    if task.status not in RELOADABLE_TASK:
        return f"task {task.jedi_task_id} is {task.status}{_by_whom(task)}{said}"
    if task.ended_by_person:
        return f"task {task.jedi_task_id} has ended{_by_whom(task)}"
    if task.reloads >= services.MOST_RELOADS and (task.reload_at is None or timezone.now() > task.reload_at):
        return f"PanDA has made no job of it, though task {task.jedi_task_id} was told of it {task.reloads} times"
    return ""


def _failed_since(processing: StfProcessing, *moments: datetime | None) -> bool:
    """Whether a job of it has ended since PanDA was last told something: to go on with the task, or of this STF."""
    ended = [job.ended_at for job in processing.jobs.all() if job.ended_at]
    return bool(ended) and all(moment is None or max(ended) > moment for moment in moments)


def _by_whom(task: ProcessingTask) -> str:
    if not task.ended_by_person:
        return ""
    reason = f": {task.command_reason}" if task.command_reason else ""
    return f", by a {task.command} of {task.command_by}{reason}"
