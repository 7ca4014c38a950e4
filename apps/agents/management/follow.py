"""Following a run on the terminal: a live view while it goes on, a summary at its end."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from django.db import Error as DatabaseError
from django.db import connection
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from apps.agents.models import SystemAgent
from apps.runs.choices import SETTLED, RunLifecycle
from apps.runs.models import Run
from apps.runs.selectors import expected_stfs, get_run
from apps.stf.choices import FINAL_TASK
from apps.stf.models import CloseoutProof, ProcessingTask
from apps.stf.selectors import StageCounts, holds, stage_counts, task_list
from apps.stf.selectors.progress import OutputCounts, output_counts, processed_everywhere

POLL_SECONDS = 0.5
FINAL = SETTLED | {RunLifecycle.INCOMPLETE}
_STYLES = {"grey": "dim", "amber": "yellow", "purple": "magenta"}


@dataclass
class Progress:
    """What is known of the run at one moment."""

    run: Run
    counts: StageCounts
    seconds: float
    reasons: list[str]
    tasks: list[ProcessingTask] = field(default_factory=list)
    outputs: dict[str, OutputCounts] = field(default_factory=dict)

    @property
    def registered_outputs(self) -> int:
        """Files made by its jobs that Rucio holds."""
        return sum(counts.registered for counts in self.outputs.values())

    @property
    def expected(self) -> int | None:
        """STFs to come in all, as far as it is known."""
        return expected_stfs(self.run)


def follow_run(run_number: int, *, timeout: float, as_json: bool) -> bool:
    """Show the run until it is settled or incomplete; True when it is closed with nothing missing.

    Args:
        timeout: seconds after which to stop looking; the run itself goes on.
        as_json: the progress goes to stderr, and one JSON object is the last line of stdout.
    """
    console = Console(stderr=as_json)
    started = time.monotonic()
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while True:
            try:
                progress = _look(run_number, started)
                live.update(_view(progress))
                if progress.run.lifecycle in FINAL or progress.seconds > timeout:
                    break
            except DatabaseError as error:
                # It is restarted by supervisor; the run goes on, and so does its view.
                connection.close()
                live.update(Text(f"The database is away: {str(error).splitlines()[0]}", style="yellow"))
                if time.monotonic() - started > timeout:
                    raise
            time.sleep(POLL_SECONDS)
    proof = CloseoutProof.objects.filter(run=progress.run).first()
    console.print(_summary(progress, proof))
    if progress.run.lifecycle not in FINAL:
        console.print(
            f"Still {progress.run.lifecycle} after {timeout:.0f} s. It goes on without us.", style="yellow"
        )
        for reason in progress.reasons:
            console.print(Text(reason, style="yellow"))
    if as_json:
        sys.stdout.write(json.dumps(as_object(progress, proof)) + "\n")
    return progress.run.lifecycle == RunLifecycle.CLOSED


def as_object(progress: Progress, proof: CloseoutProof | None) -> dict[str, Any]:
    """The run's outcome, for programs."""
    return {
        "run_number": progress.run.run_number,
        "state": progress.run.lifecycle,
        "generated": progress.counts.generated,
        "registered": progress.counts.registered,
        "verified": progress.counts.verified,
        "processed": processed_everywhere(progress.run),
        "outputs": progress.registered_outputs,
        "tasks": [
            {"site": task.site, "jedi_task_id": task.jedi_task_id, "status": task.status}
            for task in progress.tasks
        ],
        "missing": proof.missing if proof else [],
        "seconds": round(progress.seconds, 2),
    }


def _look(run_number: int, started: float) -> Progress:
    run = get_run(run_number)
    reasons = [
        f"{agent.instance_name} waits: {agent.description}"
        for agent in SystemAgent.objects.exclude(description="")
    ]
    if run.lifecycle == RunLifecycle.REQUESTED and time.monotonic() - started > 10:
        reasons.append("nobody has taken the run on: is the daqsim agent up? ./swf-testbed status-local")
    counts = stage_counts(run)
    return Progress(
        run,
        counts,
        time.monotonic() - started,
        [*reasons, *_held(run, counts)],
        tasks=list(task_list().filter(run=run).order_by("site")),
        outputs=output_counts([run]).get(run.pk, {}),
    )


def _held(run: Run, counts: StageCounts) -> list[str]:
    """What people have said that keeps the run's STFs from being processed."""
    if not counts.processing:
        return []
    now = holds()
    brake = now.brake_of(run.pk)
    down = [site for name, site in now.down.items() if name in counts.processing]
    held = [f"{site.name} is down, says {site.changed_by}: {site.down_reason}" for site in down]
    return [f"processing is held by {brake.by}: {brake.reason}", *held] if brake else held


def _view(progress: Progress) -> Group:
    run = progress.run
    head = Text.assemble(
        ("Run ", "bold"),
        (str(run.run_number), "bold cyan"),
        "  ",
        (run.lifecycle_choice.label, _style(run.lifecycle_choice.colour)),
        f"  {run.state_choice.label}",
        f" / {run.substate_choice.label}" if run.substate else "",
        (f"  {progress.seconds:.0f} s", "dim"),
    )
    table = Table.grid(padding=(0, 2))
    for stage in _stages(progress):
        rate = stage.count / progress.seconds if progress.seconds > 1 else 0.0
        said = Text.assemble((f"{rate:.1f}/s", "dim"), (f"  {stage.note}" if stage.note else "", "red"))
        table.add_row(stage.label, _bar(stage.count, stage.expected), f"{stage.count}", said)
    tasks = [Text(_in_words(task), style=_task_style(task)) for task in progress.tasks]
    return Group(head, table, *tasks, *(Text(reason, style="yellow") for reason in progress.reasons))


@dataclass(frozen=True)
class _Stage:
    """One line of the view: how many of how many are through, and what is wrong."""

    label: str
    count: int
    expected: int | None
    note: str = ""


def _stages(progress: Progress) -> list[_Stage]:
    counts = progress.counts
    archived = [
        ("Generated", counts.generated),
        ("Registered in Rucio", counts.registered),
        *((f"Verified at {rse}", count) for rse, count in counts.verified.items()),
        ("Safe to delete", counts.safe),
        ("Deleted from the buffer", counts.released),
    ]
    stages = [_Stage(label, count, progress.expected) for label, count in archived]
    for site, at_site in counts.processing.items():
        note = f"{at_site.failed} failed" if at_site.failed else ""
        stages.append(_Stage(f"Processed at {site}", at_site.processed, at_site.total, note))
    if counts.processing:
        made = sum(outputs.made for outputs in progress.outputs.values())
        stages.append(_Stage("Outputs in Rucio", progress.registered_outputs, made))
    return stages


def _bar(count: int, expected: int | None) -> ProgressBar:
    total = expected if expected else max(count, 1)
    done = bool(expected) and count >= total
    return ProgressBar(total=total, completed=count, width=40, complete_style="green" if done else "cyan")


def _in_words(task: ProcessingTask) -> str:
    if task.jedi_task_id is None:
        return f"Task at {task.site}: not submitted{f': {task.reason}' if task.reason else ''}"
    reason = f": {task.reason}" if task.reason else ""
    return f"Task at {task.site}: {task.jedi_task_id} {task.status}{reason}"


def _task_style(task: ProcessingTask) -> str:
    if task.status in FINAL_TASK:
        return "green" if task.status == "done" else "yellow"
    return "yellow" if task.reason else "dim"


def _summary(progress: Progress, proof: CloseoutProof | None) -> Table:
    run = progress.run
    style = _style(run.lifecycle_choice.colour)
    table = Table(title=f"Run {run.run_number}: {run.lifecycle_choice.label.lower()}", title_style=style)
    table.add_column("Stage")
    table.add_column("Count", justify="right")
    table.add_column("Expected", justify="right")
    for stage in _stages(progress):
        table.add_row(stage.label, str(stage.count), "?" if stage.expected is None else str(stage.expected))
    for task in progress.tasks:
        table.add_row(Text(_in_words(task), style=_task_style(task)), "", "")
    missing = proof.missing if proof else []
    table.caption = f"{len(missing)} missing, {progress.seconds:.1f} s"
    for item in missing[:20]:
        table.add_row(f"[red]STF {item['sequence']}: {item['kind']}[/] {item['reason']}", "", "")
    return table


def _style(colour: str) -> str:
    return _STYLES.get(colour, colour)
