"""Workers of slices as PanDA jobs: tasks without input, as many jobs as a run wants more workers than it has.

PanDA starts workers; it is the fastproc agent that tells those to leave that are too many, and all when the run is through.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from apps.runs.errors import RetryableError
from apps.runs.models import Run
from apps.stf import selectors, services
from apps.stf.choices import FINAL_JOB, FINAL_TASK
from apps.stf.models import FastRun, ProcessingSite, WorkerTask
from apps.stf.services import processing_parameters

from .follower import OVERLAP
from .panda import MOST_JOBS, Panda, RefusedByPanda

PROCESSING_TYPE = "fastprocessing"
# A worker that nobody gives anything leaves its pilot to others.
IDLE_SECONDS = 120
# Between two tasks of a run: jobs that end at once are not replaced at once.
PAUSE_SECONDS = 10.0
# So long the workers of a run that is through may take to leave by themselves.
LEAVE = timedelta(seconds=60)

BuildParameters = Callable[[list[str]], dict[str, Any]]


class WorkerJobs:
    """Its step is the loop `workers` of the processing agent."""

    def __init__(self, panda: Panda, build_parameters: BuildParameters) -> None:
        self._panda = panda
        self._build = build_parameters
        self._asked_at: dict[int, float] = {}

    def step(self) -> bool:
        """Follow the tasks that there are, and make one for the workers that are missing.

        Raises:
            RetryableError: PanDA is away, or refuses some tasks. The others are followed.
        """
        at_work = selectors.runs_with_panda_workers()
        tasks = list(selectors.worker_tasks_open())
        statuses = self._statuses(tasks)
        tasks += [task for fast in at_work if (task := self._ask(fast))]
        refusals = []
        for task in tasks:
            try:
                self._see_to(task, statuses.get(task.jedi_task_id or 0, ""))
            except RefusedByPanda as refusal:
                services.note_trouble(task, str(refusal))
                refusals.append(f"{task}: {refusal}")
        if refusals:
            raise RetryableError("; ".join(refusals))
        return False

    def _ask(self, fast: FastRun) -> WorkerTask | None:
        """A task for the workers that the run wants and does not have."""
        missing = fast.wanted_worker_count - selectors.open_worker_jobs(fast.run)
        asked_at = self._asked_at.get(fast.pk)
        if missing <= 0 or (asked_at is not None and time.monotonic() < asked_at + PAUSE_SECONDS):
            return None
        self._asked_at[fast.pk] = time.monotonic()
        return services.make_worker_task(fast.run, missing, _site_for(fast.run))

    def _statuses(self, tasks: list[WorkerTask]) -> dict[int, str]:
        """PanDA's word for the tasks that it has been given."""
        given = [task for task in tasks if task.jedi_task_id is not None]
        found: dict[int, str] = {}
        for label in {processing_parameters(task.run).prod_source_label for task in given}:
            since = min(task.created_at for task in given) - OVERLAP
            found |= {one.jedi_task_id: one.status for one in self._panda.changed_tasks(since, label)}
        return found

    def _see_to(self, task: WorkerTask, status: str) -> None:
        drained_at = FastRun.objects.values_list("drained_at", flat=True).get(run=task.run_id)
        if task.jedi_task_id is None:
            if drained_at is None:
                self._submit(task)
            elif task.submitting_at is None:
                services.end_worker_task(task, "the run was through before PanDA was given it")
            elif known := self._known(task):
                services.mark_submitted(task, known)
            else:
                services.end_worker_task(task, "the run is through, and PanDA does not know the task")
            return
        self._look(task, task.jedi_task_id, status)
        if drained_at is not None and timezone.now() > drained_at + LEAVE and status not in FINAL_TASK:
            self._panda.kill_task(task.jedi_task_id)

    def _look(self, task: WorkerTask, jedi_task_id: int, status: str) -> None:
        ids = self._panda.job_ids(jedi_task_id)
        if ids is None:
            return  # PanDA has not taken it up yet
        jobs = [
            job
            for first in range(0, len(ids), MOST_JOBS)
            for job in self._panda.jobs(ids[first : first + MOST_JOBS])
        ]
        ended = [job for job in jobs if job.status in FINAL_JOB]
        to_come = 0 if status in FINAL_TASK else max(0, task.jobs - len(ids))
        count = len(ids) - len(ended) + to_come
        services.note_open_jobs(task, count)
        if count == 0:
            failed = [job.reason for job in ended if job.status == "failed" and job.reason]
            services.end_worker_task(task, next(iter(failed), "") or self._panda.why(jedi_task_id))

    def _submit(self, task: WorkerTask) -> None:
        if services.begin_submission(task) and (known := self._known(task)):
            services.mark_submitted(task, known)
            return
        parameters = self._build(prun_arguments(task)) | {"processingType": PROCESSING_TYPE}
        services.mark_submitted(task, self._panda.submit(parameters))

    def _known(self, task: WorkerTask) -> int | None:
        """The id that PanDA has given the task when it was tried before and the answer was lost."""
        label = processing_parameters(task.run).prod_source_label
        tasks = self._panda.changed_tasks(task.created_at - OVERLAP, label)
        return next((found.jedi_task_id for found in tasks if found.task_name == task.task_name), None)


def worker_command() -> str:
    """What a job runs. The default is of use on this machine only, where a worker finds all in the home."""
    own = {"SWF_HOME": str(settings.SWF_HOME), "SWF_NAMESPACE": settings.SWF_NAMESPACE}
    if settings.SWF_NAMESPACES:
        own["SWF_NAMESPACES"] = ",".join(settings.SWF_NAMESPACES)
    launcher = shlex.quote(str(settings.BASE_DIR / "swf-testbed"))
    here = " ".join(f"{name}={shlex.quote(value)}" for name, value in own.items()) + f" {launcher} worker"
    return f"{settings.SWF_WORKER_COMMAND or here} --idle-timeout {IDLE_SECONDS}"


def prun_arguments(task: WorkerTask) -> list[str]:
    """What prun is told: no input, no output, so many jobs, none of them tried twice."""
    parameters = processing_parameters(task.run)
    site = ProcessingSite.objects.filter(name=task.site).first()
    queue = parameters.queues.get(task.site) or (site.panda_queue if site else task.site)
    options = {
        "--exec": worker_command(),
        "--outDS": task.task_name.rstrip("/"),
        "--nJobs": task.jobs,
        "--site": queue,
        "--vo": parameters.vo,
        "--workingGroup": parameters.working_group,
        "--prodSourceLabel": parameters.prod_source_label,
        "--memory": parameters.ram_count,
        "--maxWalltime": parameters.max_walltime,
        "--maxAttempt": 1,
    }
    given = [text for name, value in options.items() for text in (name, str(value))]
    return [*given, "--noBuild", "--expertOnly_skipScout"]


def _site_for(run: Run) -> str:
    """The site of the next task: those that are up take turns.

    Raises:
        RetryableError: none is up.
    """
    down = set(ProcessingSite.objects.filter(is_down=True).values_list("name", flat=True))
    sites = [site for site in run.parameters["replication"]["rses"] if site not in down]
    if not sites:
        raise RetryableError(f"run {run} wants workers, and no site is up")
    return str(sites[WorkerTask.objects.filter(run=run).count() % len(sites)])
