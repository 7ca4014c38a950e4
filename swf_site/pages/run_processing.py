"""The processing of a run as its page shows it: how far it is at each site, what waits or has failed, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apps.runs.choices import SETTLED
from apps.runs.models import Run
from apps.stf.choices import Policy, ProcessingState, TaskCommand
from apps.stf.models import Brake, ProcessingSite, ProcessingTask
from apps.stf.selectors import SiteCounts, site_counts, site_list, task_list
from apps.stf.selectors.progress import (
    OutputCounts,
    box_of,
    failed_jobs,
    output_counts,
    sites_in_use,
    waiting_reasons,
)

FAILURES_SHOWN = 20


@dataclass(frozen=True)
class Segment:
    """A part of a bar, in per cent of its width. `key` names its colour, which never stands without the label."""

    key: str
    label: str
    count: int
    start: float
    width: float


@dataclass(frozen=True)
class SiteView:
    """A site of the run: `site` is None before any STF has gone there, `task` before its dataset is made."""

    name: str
    site: ProcessingSite | None
    task: ProcessingTask | None
    counts: SiteCounts
    outputs: OutputCounts

    @property
    def bar(self) -> list[Segment]:
        """How far its STFs are, the processed first."""
        return bar(self.counts)


def bar(counts: SiteCounts) -> list[Segment]:
    """Counts as parts of a bar; those of nothing are left out."""
    by_state = {
        ProcessingState.DONE: counts.processed,
        ProcessingState.RUNNING: counts.running,
        ProcessingState.QUEUED: counts.queued,
        ProcessingState.WAITING: counts.waiting,
        ProcessingState.FAILED: counts.failed,
    }
    return segments([(state.value, state.label.lower(), count) for state, count in by_state.items()])


def segments(parts: Sequence[tuple[str, str, int]]) -> list[Segment]:
    """Key, label and count of each part of a bar, made as wide as its share; those of nothing are left out."""
    total = sum(count for _, _, count in parts)
    made: list[Segment] = []
    start = 0.0
    for key, label, count in parts:
        if count:
            width = 100 * count / total
            made.append(Segment(key, label, count, start, width))
            start += width
    return made


def processing_parts(run: Run) -> dict[str, object]:
    """What the processing section and its controls show; a constant number of queries."""
    box = box_of(run)
    counts = site_counts([run]).get(run.pk, {})
    names = sites_in_use(box, counts)
    known = {site.name: site for site in site_list()}
    tasks = {task.site: task for task in task_list().filter(run=run).order_by("site")}
    outputs = output_counts([run]).get(run.pk, {})
    brake = Brake.objects.filter(run=run, is_on=True).first()
    down = [known[name] for name in names if name in known and known[name].is_down]
    at_sites = [
        SiteView(
            name,
            known.get(name),
            tasks.get(name),
            counts.get(name, SiteCounts()),
            outputs.get(name, OutputCounts()),
        )
        for name in names
    ]
    return {
        "box": box,
        "sites": at_sites,
        "brake": brake,
        "down": [] if run.lifecycle in SETTLED else down,
        "unprocessed": waiting_reasons(run),
        "failures": list(failed_jobs(run)[:FAILURES_SHOWN]),
        "has_failed": any(one.failed for one in counts.values()),
        "is_unprocessed": any(one.processed < one.total for one in counts.values()),
        "policies": Policy,
        "commands": TaskCommand,
        "commandable": [task for task in tasks.values() if task.jedi_task_id is not None],
        "controls_version": _version(brake, box.changed_at, list(tasks.values())),
    }


def _version(brake: Brake | None, changed_at: object, tasks: list[ProcessingTask]) -> str:
    """Changes when the controls do, and only then: what somebody types into them is not lost meanwhile."""
    submitted = sorted(task.site for task in tasks if task.jedi_task_id is not None)
    return f"{brake and brake.since} {changed_at} {' '.join(submitted)}"
