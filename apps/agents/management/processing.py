"""Processing on the terminal: what is held, the sites, and the tasks with how far their STFs are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from apps.runs.models import Run
from apps.stf import selectors
from apps.stf.choices import FINAL_TASK
from apps.stf.models import Brake, ProcessingSite, ProcessingTask
from apps.stf.selectors import SiteCounts, site_counts
from apps.stf.selectors.progress import OutputCounts, failed_jobs, output_counts

from .letters import plain

FAILURES_SHOWN = 10
NO_TASK = "No task yet: PanDA is given one when the first STF of a run is in a site's dataset."


class Status:
    """What stands in the database now, read once: the newest `limit` tasks, of one run or of all."""

    def __init__(self, run: Run | None, *, limit: int) -> None:
        tasks = selectors.task_list()
        self.tasks: list[ProcessingTask] = list((tasks if run is None else tasks.filter(run=run))[:limit])
        self.sites = list(selectors.site_list())
        self.brakes = list(selectors.brakes_on())
        runs = list({task.run_id: task.run for task in self.tasks}.values())
        self.counts = site_counts(runs)
        self.outputs = output_counts(runs)
        self.failures = list(failed_jobs(run)[:FAILURES_SHOWN])

    def counts_of(self, task: ProcessingTask) -> SiteCounts:
        """How far the STFs of this task have come."""
        return self.counts.get(task.run_id, {}).get(task.site, SiteCounts())

    def outputs_of(self, task: ProcessingTask) -> OutputCounts:
        """The files that the jobs of this task have made."""
        return self.outputs.get(task.run_id, {}).get(task.site, OutputCounts())

    def as_object(self) -> dict[str, Any]:
        """The same for programs, in the words of REST."""
        return {
            "brakes": [
                {
                    "run_number": brake.run.run_number if brake.run else None,
                    "by": brake.by,
                    "reason": brake.reason,
                    "cancel": brake.cancel,
                    "since": brake.since.isoformat(),
                }
                for brake in self.brakes
            ],
            "sites": [
                {
                    "name": site.name,
                    "panda_queue": site.panda_queue,
                    "is_down": site.is_down,
                    "down_reason": site.down_reason,
                    "changed_by": site.changed_by,
                }
                for site in self.sites
            ],
            "tasks": [
                {
                    "id": task.pk,
                    "run_number": task.run.run_number,
                    "site": task.site,
                    "task_name": task.task_name,
                    "jedi_task_id": task.jedi_task_id,
                    "status": task.status,
                    "reason": task.reason,
                    "command": task.command if task.has_command else "",
                    **vars(self.counts_of(task)),
                    "outputs": self.outputs_of(task).registered,
                }
                for task in self.tasks
            ],
            "failures": [
                {
                    "panda_id": job.panda_id,
                    "run_number": job.task.run.run_number,
                    "site": job.task.site,
                    "stfs": [one.stf.stf_filename for one in job.inputs],
                    "attempt_nr": job.attempt_nr,
                    "reason": job.reason,
                }
                for job in self.failures
            ],
        }


def status_view(status: Status) -> Group:
    """What is held first, since it explains the rest; then sites, tasks and failures."""
    parts: list[RenderableType] = [*map(_brake, status.brakes)]
    parts += [_sites(status.sites), Text()]
    parts += [_tasks(status)] if status.tasks else [NO_TASK]
    if status.failures:
        parts += [Text(), _failures(status)]
    return Group(*parts)


def _brake(brake: Brake) -> Text:
    where = f"run {brake.run.run_number}" if brake.run else "all runs"
    jobs = "running jobs are killed" if brake.cancel else "running jobs may end"
    said = f"  by {brake.by}, {brake.since:%Y-%m-%d %H:%M:%S} UTC, {jobs}: {brake.reason}"
    return Text.assemble((f"BRAKE ON {where}", "bold red"), plain(said))


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _sites(sites: Sequence[ProcessingSite]) -> RenderableType:
    if not sites:
        return "No processing site yet: a run whose policy names sites makes them known."
    table = _table("site", "state", "queue")
    table.add_column("why", overflow="fold", ratio=1)
    for site in sites:
        state = Text("down", style="red") if site.is_down else Text("up", style="green")
        why = f"{site.changed_by}: {site.down_reason}" if site.is_down else ""
        table.add_row(site.name, state, site.panda_queue, plain(why))
    return table


def _tasks(status: Status) -> Table:
    table = _table("id", "run", "site", "PanDA task", "status")
    for column in ("waiting", "queued", "running", "done", "failed", "outputs"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold", ratio=1)
    for task in status.tasks:
        counts = status.counts_of(task)
        table.add_row(
            str(task.pk),
            str(task.run.run_number),
            task.site,
            str(task.jedi_task_id or "not yet"),
            _status(task),
            str(counts.waiting),
            str(counts.queued),
            str(counts.running),
            Text(str(counts.processed), style="green" if counts.processed else ""),
            Text(str(counts.failed), style="red" if counts.failed else ""),
            str(status.outputs_of(task).registered),
            plain(_reason(task)),
        )
    return table


def _status(task: ProcessingTask) -> Text:
    if not task.status:
        return Text("to be submitted", style="yellow")
    final = {"done": "green", "finished": "yellow"}
    style = final.get(task.status, "red") if task.status in FINAL_TASK else "cyan"
    return Text(task.status, style=style)


def _reason(task: ProcessingTask) -> str:
    if not task.has_command:
        return task.reason
    outcome = f", {task.command_outcome}" if task.command_outcome else ""
    return f"{task.command} asked by {task.command_by}{outcome}"


def _failures(status: Status) -> Table:
    table = _table("failed job", "run", "site", "STF", "attempt")
    table.add_column("reason", overflow="fold", ratio=1)
    for job in status.failures:
        stfs = ", ".join(str(one.stf.sequence) for one in job.inputs)
        table.add_row(
            str(job.panda_id),
            str(job.task.run.run_number),
            job.task.site,
            stfs,
            str(job.attempt_nr),
            plain(job.reason),
        )
    return table
