"""PanDA's jobs, and what they mean for the STFs they read. What has ended never changes; what is processed stays so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.runs import journal

from ..choices import FINAL_JOB, JOB_WITH_PILOT, ProcessingState
from ..models import ProcessingJob, ProcessingOutput, ProcessingTask, StfProcessing

_Link = ProcessingJob.processings.through


@dataclass(frozen=True)
class OutputReport:
    """A file that a job says it has made. Size in bytes, checksum adler32 as 8 hexadecimal digits."""

    scope: str
    name: str
    dataset: str
    rse: str
    size_bytes: int
    checksum: str


@dataclass(frozen=True)
class JobReport:
    """What PanDA says of one job: its state in PanDA's word, and the names of the STFs it reads."""

    panda_id: int
    status: str
    attempt_nr: int
    created_at: datetime
    inputs: tuple[str, ...]
    outputs: tuple[OutputReport, ...] = ()
    reason: str = ""


@transaction.atomic
def apply_job_reports(task: ProcessingTask, reports: Sequence[JobReport]) -> None:
    """Apply what PanDA says of jobs of a task, and give the STFs they read the states that follow from it.

    The first job that finishes processes its STF, wherever the STF is by then; the outputs of that job count, and no
    others.
    """
    # One writer per task: two that see a job each must not both judge the STF that is in both.
    task = ProcessingTask.objects.select_for_update(of=("self",)).select_related("run").get(pk=task.pk)
    known = {
        job.panda_id: job
        for job in ProcessingJob.objects.filter(panda_id__in=[report.panda_id for report in reports])
    }
    fresh = [report for report in reports if report.panda_id not in known]
    changed = [
        report
        for report in reports
        if (job := known.get(report.panda_id)) and job.ended_at is None and job.status != report.status
    ]
    if not fresh and not changed:
        return
    touched = _create(task, fresh)
    touched += _change(known, changed)
    entries = [_failure(task, job) for job in touched if job.status == "failed"]
    said = {report.panda_id: report for report in reports}
    entries += _judge(task, touched, said)
    journal.record_many(entries)


@transaction.atomic
def give_up(task: ProcessingTask, reasons: Mapping[int, str]) -> int:
    """PanDA will try these processings (by id) no more, each for its reason. They stay so until somebody has them retried.

    Returns:
        How many have failed by this; those that have a job again by now, or that were asked to be retried, have not.
    """
    task = ProcessingTask.objects.select_for_update(of=("self",)).select_related("run").get(pk=task.pk)
    if task.has_command:
        return 0
    failed = list(
        StfProcessing.objects.select_for_update(of=("self",))
        .select_related("stf")
        .filter(pk__in=reasons, site=task.site, state=ProcessingState.WAITING)
        .order_by("pk")
    )
    now = timezone.now()
    for processing in failed:
        processing.state, processing.changed_at = ProcessingState.FAILED, now
        processing.reason = reasons[processing.pk]
    StfProcessing.objects.bulk_update(failed, ["state", "reason", "changed_at"])
    journal.record_many(
        [
            journal.Change(
                "processing_failed",
                run=task.run,
                subject=one.stf.stf_filename,
                payload={"sequence": one.stf.sequence, "site": one.site, "reason": one.reason},
            )
            for one in failed
        ]
    )
    return len(failed)


def note_kill_asked(panda_ids: Sequence[int]) -> None:
    """PanDA was asked to kill these jobs; what comes of it is seen by following them."""
    ProcessingJob.objects.filter(panda_id__in=panda_ids).update(kill_asked_at=timezone.now())


def _create(task: ProcessingTask, fresh: Sequence[JobReport]) -> list[ProcessingJob]:
    now = timezone.now()
    jobs = ProcessingJob.objects.bulk_create(
        [
            ProcessingJob(
                panda_id=report.panda_id,
                task=task,
                status=report.status,
                attempt_nr=report.attempt_nr,
                reason=report.reason,
                created_at=report.created_at,
                ended_at=now if report.status in FINAL_JOB else None,
            )
            for report in fresh
        ]
    )
    places = _places(task, {name for report in fresh for name in report.inputs})
    _Link.objects.bulk_create(
        [
            _Link(processingjob_id=job.pk, stfprocessing_id=places[name])
            for job, report in zip(jobs, fresh, strict=True)
            for name in dict.fromkeys(report.inputs)
            if name in places
        ]
    )
    return jobs


def _places(task: ProcessingTask, names: Iterable[str]) -> dict[str, int]:
    """The processing that a job of this task means, by the STF's name: the one at its site, or one that has left it."""
    rows = StfProcessing.objects.filter(
        Q(site=task.site) | Q(may_move=True), run=task.run_id, stf__stf_filename__in=set(names)
    ).values_list("stf__stf_filename", "pk", "site")
    return {name: pk for name, pk, _ in sorted(rows, key=lambda row: row[2] == task.site)}


def _change(known: Mapping[int, ProcessingJob], reports: Sequence[JobReport]) -> list[ProcessingJob]:
    now = timezone.now()
    jobs = [known[report.panda_id] for report in reports]
    for job, report in zip(jobs, reports, strict=True):
        job.status, job.reason, job.changed_at = report.status, report.reason, now
        job.attempt_nr = report.attempt_nr
        job.ended_at = now if report.status in FINAL_JOB else None
    ProcessingJob.objects.bulk_update(jobs, ["status", "reason", "changed_at", "attempt_nr", "ended_at"])
    return jobs


def _failure(task: ProcessingTask, job: ProcessingJob) -> journal.Change:
    return journal.Change(
        "job_failed",
        run=task.run,
        subject=f"job {job.panda_id}",
        payload={
            "site": task.site,
            "panda_id": job.panda_id,
            "attempt_nr": job.attempt_nr,
            "reason": job.reason,
        },
    )


def _judge(
    task: ProcessingTask, touched: Sequence[ProcessingJob], said: Mapping[int, JobReport]
) -> list[journal.Change]:
    """Give the STFs of these jobs their states; the entries that this is worth."""
    ids = _Link.objects.filter(processingjob__in=touched).values("stfprocessing")
    processings = list(
        StfProcessing.objects.select_for_update(of=("self",))
        .select_related("stf")
        .filter(pk__in=ids)
        .exclude(state=ProcessingState.DONE)
        .order_by("pk")
    )
    jobs = _jobs_of(processings)
    now = timezone.now()
    done: dict[int, tuple[ProcessingJob, list[StfProcessing]]] = {}
    for processing in processings:
        finished = _apply(processing, jobs[processing.pk], now)
        if finished:
            processing.site = task.site
            done.setdefault(finished.pk, (finished, []))[1].append(processing)
    StfProcessing.objects.bulk_update(
        processings, ["state", "reason", "attempts", "changed_at", "done_at", "site"]
    )
    if not done:
        return []
    ProcessingTask.objects.filter(pk=task.pk).update(reloads=0, reload_at=None)
    return [
        _processed(task, job, processing, outputs)
        for job, those in done.values()
        for outputs in [_record_outputs(job, said[job.panda_id].outputs)]
        for processing in those
    ]


def _jobs_of(processings: Sequence[StfProcessing]) -> dict[int, list[ProcessingJob]]:
    """Their jobs, the oldest first, by the processing's id."""
    found: dict[int, list[ProcessingJob]] = defaultdict(list)
    links = _Link.objects.filter(stfprocessing__in=processings).select_related("processingjob")
    for link in links.order_by("processingjob__panda_id"):
        found[link.stfprocessing_id].append(link.processingjob)
    return found


def _apply(processing: StfProcessing, jobs: Sequence[ProcessingJob], now: datetime) -> ProcessingJob | None:
    """Set the state that follows from these jobs; the one that has processed it, if one has."""
    finished = next((job for job in jobs if job.status == "finished"), None)
    open_jobs = [job for job in jobs if job.ended_at is None]
    failures = [job for job in jobs if job.status == "failed"]
    before = processing.state
    processing.attempts = len(failures)
    if failures:
        processing.reason = (
            failures[-1].reason or f"job {failures[-1].panda_id} failed; PanDA does not say why"
        )
    if finished:
        processing.state, processing.done_at, processing.reason = ProcessingState.DONE, now, ""
    elif any(job.status in JOB_WITH_PILOT for job in open_jobs):
        processing.state = ProcessingState.RUNNING
    elif open_jobs:
        processing.state = ProcessingState.QUEUED
    elif before != ProcessingState.FAILED:
        processing.state = ProcessingState.WAITING
    if processing.state != before:
        processing.changed_at = now
    return finished


def _record_outputs(job: ProcessingJob, reports: Sequence[OutputReport]) -> list[ProcessingOutput]:
    outputs = [ProcessingOutput(job=job, **vars(report)) for report in reports]
    # A name that is known already is that of another job's, which was first.
    return ProcessingOutput.objects.bulk_create(outputs, ignore_conflicts=True)


def _processed(
    task: ProcessingTask, job: ProcessingJob, processing: StfProcessing, outputs: Sequence[ProcessingOutput]
) -> journal.Change:
    return journal.Change(
        "stf_processed",
        run=task.run,
        subject=processing.stf.stf_filename,
        payload={
            "filename": processing.stf.stf_filename,
            "sequence": processing.stf.sequence,
            "site": task.site,
            "panda_id": job.panda_id,
            "jeditaskid": task.jedi_task_id,
            "outputs": [
                {
                    "did": str(output),
                    "size_bytes": output.size_bytes,
                    "checksum": output.checksum,
                }
                for output in outputs
            ],
        },
    )
