"""Why STFs are not processed yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apps.runs.models import Run

from ..choices import ProcessingState
from ..models import ProcessingOutput, ProcessingTask, StfProcessing
from .holding import Holds, holds


@dataclass(frozen=True)
class Unprocessed:
    """An STF that is not processed at a site where it is to be, or whose output Rucio does not hold; and why."""

    sequence: int
    filename: str
    site: str
    reason: str


def unprocessed(run: Run, *, last: int) -> list[Unprocessed]:
    """What is left to process of a run's STFs up to the sequence `last`, in order; as many queries for any number."""
    left = (
        StfProcessing.objects.filter(run=run, stf__sequence__lte=last)
        .exclude(state=ProcessingState.DONE)
        .select_related("stf")
        .order_by("stf__sequence", "site")
    )
    now, tasks = holds(), {task.site: task for task in ProcessingTask.objects.filter(run=run)}
    found = [
        Unprocessed(one.stf.sequence, one.stf.stf_filename, one.site, _why(one, now, tasks.get(one.site)))
        for one in left
    ]
    missing = (
        ProcessingOutput.objects.filter(job__task__run=run, registered_at__isnull=True)
        .filter(job__processings__stf__sequence__lte=last)
        .values_list(
            "job__processings__stf__sequence", "job__processings__stf__stf_filename", "rse", "name", "reason"
        )
    )
    found += [
        Unprocessed(sequence, filename, rse, f"output {name}: {reason or 'not seen in Rucio yet'}")
        for sequence, filename, rse, name, reason in missing
    ]
    return sorted(found, key=lambda one: (one.sequence, one.site))


def why_unprocessed(processings: Sequence[StfProcessing]) -> dict[int, str]:
    """Why each of these is not processed yet, by its id; "" for those that are."""
    now = holds()
    runs = {processing.run_id for processing in processings}
    tasks = {(task.run_id, task.site): task for task in ProcessingTask.objects.filter(run__in=runs)}
    return {one.pk: _why(one, now, tasks.get((one.run_id, one.site))) for one in processings}


def _why(processing: StfProcessing, now: Holds, task: ProcessingTask | None) -> str:
    """The nearest reason: what was decided before what went wrong, and that before what is only slow."""
    if processing.state == ProcessingState.DONE:
        return ""
    if processing.state == ProcessingState.FAILED:
        return processing.reason
    if brake := now.brake_of(processing.run_id):
        return f"brake by {brake.by}: {brake.reason}"
    if site := now.down.get(processing.site):
        return f"{site.name} is down: {site.down_reason}"
    if task is not None and task.reason:
        return f"task {task}: {task.reason}"
    words = {
        ProcessingState.RUNNING: "its job is running",
        ProcessingState.QUEUED: "its job waits for a slot",
    }.get(ProcessingState(processing.state), "waits for a job of PanDA's")
    return f"{words}; before that: {processing.reason}" if processing.reason else words
