"""Processing at every stage, made by the services alone, as `tests.factories` makes runs and STFs."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

from django.utils import timezone

from apps.runs.models import Run
from apps.stf import selectors, services
from apps.stf.models import ProcessingJob, ProcessingTask, StfProcessing
from apps.stf.services import JobReport, OutputReport
from tests.factories import a_running_run, an_stf, verified

BNL, JLAB = "E1_BNL", "E1_JLAB"
# Why the processing of STFs has failed.
WHY = "payload: exit code 7"
_ids = count(1000)


def a_processed_run(stfs: int = 2, *, policy: str = "round-robin", **overrides: Any) -> Run:
    """A run that takes data, with so many STFs that are safe and wait for being processed."""
    run = a_running_run(policy=policy, **overrides)
    verified(*(an_stf(run, sequence) for sequence in range(1, stfs + 1)))
    return run


def attach() -> None:
    """What the data agent does: everything that is allowed goes into the input dataset of its site."""
    for one in selectors.to_attach(limit=1000):
        services.open_input(one.run, one.site, scope="group.daq", name=services.input_name(one.run, one.site))
        services.begin_attach([one.pk])
        services.mark_attached([one.pk])


def detach() -> None:
    """What the data agent does: everything that is held is taken out again."""
    services.mark_detached([one.pk for one in selectors.to_detach(limit=1000)])


def clear() -> None:
    """PanDA has been seen to make no job any more of what was detached."""
    services.mark_cleared([one.pk for one in selectors.to_clear()], before=timezone.now())


def submit() -> None:
    """What the processing agent does: PanDA knows the task of every site that has STFs."""
    for task in selectors.tasks_to_submit():
        services.begin_submission(task)
        services.mark_submitted(task, next(_ids))


def task_of(run: Run, site: str = BNL) -> ProcessingTask:
    return ProcessingTask.objects.get(run=run, site=site)


def processing_of(run: Run, sequence: int = 1, site: str | None = None) -> StfProcessing:
    where = {"site": site} if site else {}
    return StfProcessing.objects.select_related("stf").get(run=run, stf__sequence=sequence, **where)


def job(
    run: Run, *sequences: int, site: str = BNL, status: str = "activated", panda_id: int = 0, **said: Any
) -> int:
    """PanDA says that a job of the site's task reads these STFs, and is in this state; its PandaID."""
    known = ProcessingJob.objects.filter(panda_id=panda_id).first()
    names = tuple(run.stf_files.filter(sequence__in=sequences).values_list("stf_filename", flat=True))
    report = JobReport(
        panda_id=panda_id or next(_ids),
        status=status,
        attempt_nr=known.attempt_nr if known else 1,
        created_at=timezone.now(),
        inputs=names,
        **said,
    )
    services.apply_job_reports(task_of(run, site), [report])
    return report.panda_id


def an_output(name: str, *, site: str = BNL) -> OutputReport:
    """A file that a job says it has made."""
    return OutputReport(
        scope="user.swf", name=name, dataset="user.swf.out", rse=site, size_bytes=10, checksum="0000000a"
    )


def process(run: Run, sequences: Iterable[int], *, site: str = BNL, registered: bool = True) -> None:
    """A job per STF finishes with one output."""
    for sequence in sequences:
        output = an_output(f"{run.run_number}.{sequence}.{site}.root", site=site)
        job(run, sequence, site=site, status="finished", outputs=(output,))
    if registered:
        waiting = [output.pk for output in selectors.outputs_to_verify(limit=1000)]
        services.mark_outputs(run, registered=waiting, missing={})


def states(run: Run) -> list[tuple[int, str, str]]:
    """Sequence, site and state of every processing of the run."""
    return list(
        StfProcessing.objects.filter(run=run)
        .order_by("stf__sequence", "site")
        .values_list("stf__sequence", "site", "state")
    )


def an_active_run(stfs: int = 6) -> Run:
    """By turns at two sites: 1 and 4 are processed, 2 has failed for good, 3 runs, 5 is queued, the others wait."""
    run = a_processed_run(stfs)
    attach()
    submit()
    process(run, [1])
    process(run, [4], site=JLAB)
    job(run, 2, site=JLAB, status="failed", reason=WHY, panda_id=77)
    services.give_up(task_of(run, JLAB), {processing_of(run, 2).pk: WHY})
    job(run, 3, status="running")
    job(run, 5, status="activated")
    return run
