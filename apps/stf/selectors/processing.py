"""Reads of processing: lists, and what the loops of the agents have to do."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from django.db.models import Count, Exists, OuterRef, Prefetch, Q, QuerySet
from django.utils import timezone

from apps.runs.related import with_related

from ..choices import (
    FINAL_TASK,
    JOB_WITH_PILOT,
    RELOADABLE_TASK,
    ProcessingState,
    Registration,
    TaskCommand,
)
from ..models import (
    ProcessingJob,
    ProcessingOutput,
    ProcessingSite,
    ProcessingTask,
    StfFile,
    StfProcessing,
)
from .holding import holds

_ENDED = (ProcessingState.DONE, ProcessingState.FAILED)
KILL_AGAIN = timedelta(seconds=10)


def site_list() -> QuerySet[ProcessingSite]:
    """All processing sites by name."""
    return ProcessingSite.objects.order_by("name")


def task_list() -> QuerySet[ProcessingTask]:
    """All tasks with their run, newest first."""
    return ProcessingTask.objects.select_related("run").order_by("-pk")


def job_list() -> QuerySet[ProcessingJob]:
    """All jobs with task and run, newest first, and as lists `inputs`, the processings of what they read, and `made`, their
    outputs."""
    jobs = with_related(
        ProcessingJob.objects.order_by("-panda_id"),
        task=["site", "jedi_task_id"],
        task__run=["run_number"],
    )
    read = with_related(StfProcessing.objects.only("stf"), stf=["sequence", "stf_filename"])
    inputs, made = Prefetch("processings", read, to_attr="inputs"), Prefetch("outputs", to_attr="made")
    return jobs.prefetch_related(inputs, made)  # type: ignore[no-redef] # by the model


def output_list() -> QuerySet[ProcessingOutput]:
    """All outputs with their job and run, newest first."""
    return with_related(
        ProcessingOutput.objects.order_by("-pk"),
        job=["panda_id"],
        job__task=[],
        job__task__run=["run_number"],
    )


def processing_list() -> QuerySet[StfProcessing]:
    """All processings with STF and run, newest first."""
    return with_related(
        StfProcessing.objects.order_by("-pk"), stf=["sequence", "stf_filename"], run=["run_number"]
    )


def is_processing() -> bool:
    """Whether an STF is still to be processed, or an input dataset still open. Otherwise nothing is to be attached,
    detached, moved, opened or closed.
    """
    open_work = StfProcessing.objects.exclude(state__in=_ENDED)
    return open_work.exists() or ProcessingTask.objects.filter(is_open=True).exists()


def to_attach(*, limit: int) -> list[StfProcessing]:
    """Processings that are to be put into their site's input dataset, oldest first."""
    return list(
        StfProcessing.objects.exclude(state__in=_ENDED)
        .filter(attached_at__isnull=True)
        .exclude(holds().held())
        .select_related("stf")
        .prefetch_related("run__dataset", "run__execution", "run__tasks")
        .order_by("pk")[:limit]
    )


def to_detach(*, limit: int) -> list[StfProcessing]:
    """Processings that are to be taken out of their site's input dataset, oldest first.

    Those that run too: their jobs may end, but if one fails no other follows.
    """
    return list(
        StfProcessing.objects.exclude(state__in=_ENDED)
        .filter(holds().held(), attach_asked_at__isnull=False)
        .select_related("stf")
        .prefetch_related("run__dataset", "run__tasks")
        .order_by("pk")[:limit]
    )


def inputs_to_close() -> list[ProcessingTask]:
    """Open input datasets that need not take any STF more, as far as can be told now.

    The run has ended, its STFs are registered, and all that are to be processed have been or have failed. Not before:
    PanDA looks at a closed dataset no more, and would not see that an STF was taken out of it. But where a job reads
    several STFs, PanDA keeps the last few for a job only when the dataset is closed: then it is enough that all are in it
    and nothing is held. And what a retry waits for is that PanDA ends the task.
    """
    retried = _asked_to_go_on(ProcessingTask.objects.filter(run=OuterRef("run"), site=OuterRef("site")))
    unfinished = (
        StfProcessing.objects.filter(run=OuterRef("run"))
        .exclude(state__in=_ENDED)
        .exclude(Exists(retried), state=ProcessingState.WAITING)
    )
    movable = unfinished.filter(Q(attached_at__isnull=True) | holds().held())
    tasks = [
        task
        for task in ProcessingTask.objects.filter(is_open=True, run__expected_stf_count__isnull=False)
        .annotate(is_unfinished=Exists(unfinished), is_movable=Exists(movable))
        .select_related("run__execution")
        .order_by("pk")
        if not task.is_unfinished
        or (not task.is_movable and task.run.parameters["processing"]["n_files_per_job"] > 1)
    ]
    registered: dict[int, int] = dict(
        StfFile.objects.filter(run__in={task.run_id for task in tasks}, registration=Registration.REGISTERED)
        .values_list("run_id")
        .annotate(Count("pk"))
        .order_by()
    )
    return [task for task in tasks if registered.get(task.run_id, 0) >= (task.run.expected_stf_count or 0)]


def inputs_to_open() -> list[ProcessingTask]:
    """Closed input datasets with an STF that waits for being processed after all: somebody has it tried again."""
    waiting = StfProcessing.objects.filter(
        run=OuterRef("run"), site=OuterRef("site"), attached_at__isnull=False
    ).exclude(state__in=_ENDED)
    tasks = ProcessingTask.objects.filter(Exists(waiting), is_open=False).select_related("run__execution")
    tasks = tasks.exclude(pk__in=_asked_to_go_on(ProcessingTask.objects.all())).order_by("pk")
    return [task for task in tasks if task.run.parameters["processing"]["n_files_per_job"] == 1]


def _asked_to_go_on(tasks: QuerySet[ProcessingTask]) -> QuerySet[ProcessingTask]:
    """Those that PanDA is to begin again as soon as it has ended them."""
    return tasks.filter(command__in=(TaskCommand.RETRY, TaskCommand.RELOAD), command_done_at__isnull=True)


def outputs_to_verify(*, limit: int, after: int = 0) -> list[ProcessingOutput]:
    """Outputs that Rucio has not been seen to hold, oldest first, from beyond the one with the id `after` on."""
    return list(
        ProcessingOutput.objects.filter(registered_at__isnull=True, pk__gt=after)
        .select_related("job__task__run")
        .order_by("pk")[:limit]
    )


def tasks_to_submit() -> list[ProcessingTask]:
    """Tasks that PanDA does not know, and that have STFs waiting in their dataset; none that is held."""
    now = holds()
    waiting = StfProcessing.objects.filter(
        run=OuterRef("run"), site=OuterRef("site"), attached_at__isnull=False
    ).exclude(state__in=_ENDED)
    tasks = (
        ProcessingTask.objects.filter(Exists(waiting), jedi_task_id__isnull=True)
        .exclude(site__in=list(now.down))
        .select_related("run__execution")
        .order_by("pk")
    )
    return [task for task in tasks if not now.brake_of(task.run_id)]


def tasks_to_follow() -> list[ProcessingTask]:
    """Tasks at PanDA of which something may change: those that have not ended, that have open jobs, or whose dataset
    holds STFs that are to be processed still.
    """
    open_jobs = ProcessingJob.objects.filter(task=OuterRef("pk"), ended_at__isnull=True)
    waiting = StfProcessing.objects.filter(
        run=OuterRef("run"),
        site=OuterRef("site"),
        state=ProcessingState.WAITING,
        attached_at__isnull=False,
    )
    return list(
        ProcessingTask.objects.filter(jedi_task_id__isnull=False)
        .filter(~Q(status__in=FINAL_TASK) | Exists(open_jobs) | Exists(waiting))
        .select_related("run__execution")
        .order_by("pk")
    )


def known_statuses(jedi_task_ids: Iterable[int]) -> dict[int, str]:
    """The status of those of these tasks that are ours, by PanDA's id."""
    tasks = ProcessingTask.objects.filter(jedi_task_id__in=list(jedi_task_ids))
    return {jedi_task_id or 0: status for jedi_task_id, status in tasks.values_list("jedi_task_id", "status")}


def open_jobs(task: ProcessingTask) -> set[int]:
    """The PandaIDs of the jobs of a task that have not ended."""
    return set(task.jobs.filter(ended_at__isnull=True).values_list("panda_id", flat=True))


def ended_jobs(task: ProcessingTask, panda_ids: Collection[int]) -> set[int]:
    """Those of these jobs of a task that are known to have ended."""
    ended = task.jobs.filter(panda_id__in=list(panda_ids), ended_at__isnull=False)
    return set(ended.values_list("panda_id", flat=True)) if panda_ids else set()


def stuck_processings(task: ProcessingTask) -> list[StfProcessing]:
    """STFs in the dataset of a task of which PanDA has no open job, though it has had one or has ended the task."""
    open_jobs = ProcessingJob.objects.filter(processings=OuterRef("pk"), ended_at__isnull=True)
    stuck = StfProcessing.objects.filter(
        run=task.run_id,
        site=task.site,
        state=ProcessingState.WAITING,
        attached_at__isnull=False,
    ).exclude(Exists(open_jobs))
    if task.status not in FINAL_TASK:
        stuck = stuck.filter(jobs__isnull=False).distinct()
    return list(stuck.select_related("stf").prefetch_related("jobs").order_by("pk"))


def may_reload(task: ProcessingTask, *, now: datetime, most: int) -> bool:
    """Whether the agent may ask PanDA by itself to look at the task's input again: nobody has ended it on purpose."""
    return (
        task.status in RELOADABLE_TASK
        and not task.ended_by_person
        and not task.has_command
        and task.reloads < most
        and (task.reload_at is None or task.reload_at <= now)
    )


def tasks_to_command() -> list[ProcessingTask]:
    """Tasks with a command that waits for being carried out, the oldest command first."""
    return list(
        ProcessingTask.objects.exclude(command="")
        .filter(command_done_at__isnull=True)
        .select_related("run")
        .order_by("command_at")
    )


def to_clear() -> list[StfProcessing]:
    """Detached processings of which it is not known yet that PanDA makes no job of them any more."""
    return list(
        StfProcessing.objects.exclude(state__in=_ENDED)
        .filter(attach_asked_at__isnull=True, detached_at__isnull=False, cleared_at__isnull=True)
        .select_related("stf")
        .order_by("run", "site", "pk")
    )


def jobs_to_kill() -> list[ProcessingJob]:
    """Open jobs that PanDA is to kill: of STFs that were taken back, and of those that another job has processed.

    What a pilot has begun is left to end, unless a brake says otherwise.
    """
    now = timezone.now()
    cancelled = StfProcessing.objects.filter(holds().braked(cancel=True))
    of_job = StfProcessing.objects.filter(jobs=OuterRef("pk"))
    withdrawn = of_job.filter(attach_asked_at__isnull=True, detached_at__isnull=False)
    return list(
        ProcessingJob.objects.filter(ended_at__isnull=True)
        .filter(Q(kill_asked_at__isnull=True) | Q(kill_asked_at__lt=now - KILL_AGAIN))
        .filter(
            (Exists(withdrawn) & ~Q(status__in=JOB_WITH_PILOT))
            | Exists(withdrawn.filter(pk__in=cancelled.values("pk")))
            | Exists(of_job.filter(state=ProcessingState.DONE))
        )
        .select_related("task")
        .order_by("panda_id")
    )
