"""Hearing of the jobs of a task: the new ones and those that have not ended, and no others."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from django.utils import timezone

from apps.stf import selectors, services
from apps.stf.models import ProcessingTask
from apps.stf.services import JobReport, OutputReport, TaskReport

from .panda import MOST_JOBS, FileFacts, JobFacts, Panda

# So long PanDA may take to take up a task that it was given.
UNKNOWN_FOR = timedelta(minutes=5)


class JobWatch:
    """Remembers which jobs have ended, so that neither PanDA nor the database is asked for them again."""

    def __init__(self, panda: Panda) -> None:
        self._panda = panda
        self._ended: dict[int, set[int]] = {}

    def look(self, task: ProcessingTask) -> None:
        """Hear of all new jobs of a task, and of those that have not ended.

        Raises:
            RetryableError, RefusedByPanda: PanDA is away, or refuses.
        """
        ids = self._panda.job_ids(task.jedi_task_id or 0)
        if ids is None:
            _note_unknown(task)
            return
        ended = self._ended.setdefault(task.pk, set())
        still_open = selectors.open_jobs(task)
        unseen = set(ids) - ended - still_open
        ended |= selectors.ended_jobs(task, unseen)
        wanted = sorted((unseen - ended) | still_open)
        for first in range(0, len(wanted), MOST_JOBS):
            jobs = self._panda.jobs(wanted[first : first + MOST_JOBS])
            services.apply_job_reports(task, [_job_report(task, job) for job in jobs])

    def keep(self, tasks: Collection[ProcessingTask]) -> None:
        """Forget the jobs of all other tasks."""
        kept = {task.pk for task in tasks}
        self._ended = {pk: ended for pk, ended in self._ended.items() if pk in kept}


def _note_unknown(task: ProcessingTask) -> None:
    if task.submitted_at and timezone.now() > task.submitted_at + UNKNOWN_FOR:
        why = f"PanDA does not know task {task.jedi_task_id}, which it was given at {task.submitted_at:%H:%M:%S}"
        services.apply_task_reports([TaskReport(task.jedi_task_id or 0, task.status, why)])


def _job_report(task: ProcessingTask, job: JobFacts) -> JobReport:
    return JobReport(
        panda_id=job.panda_id,
        status=job.status,
        attempt_nr=job.attempt_nr,
        created_at=job.created_at,
        inputs=tuple(file.name for file in job.files if file.kind == "input"),
        outputs=tuple(_output(task, file) for file in job.files if file.kind == "output"),
        reason=job.reason,
    )


def _output(task: ProcessingTask, file: FileFacts) -> OutputReport:
    return OutputReport(file.scope, file.name, file.dataset, task.site, file.size_bytes, file.checksum)
