"""Following a run on the terminal: a live view while it goes on, a summary at its end."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
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
from apps.stf.models import CloseoutProof
from apps.stf.selectors import StageCounts, stage_counts

POLL_SECONDS = 0.25
FINAL = SETTLED | {RunLifecycle.INCOMPLETE}
_STYLES = {"grey": "dim", "amber": "yellow", "purple": "magenta"}


@dataclass
class Progress:
    """What is known of the run at one moment."""

    run: Run
    counts: StageCounts
    seconds: float
    reasons: list[str]

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
    with Live(console=console, refresh_per_second=8, transient=True) as live:
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
    return Progress(run, stage_counts(run), time.monotonic() - started, reasons)


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
    for stage, count in _stages(progress.counts):
        rate = count / progress.seconds if progress.seconds > 1 else 0.0
        table.add_row(stage, _bar(count, progress.expected), f"{count}", Text(f"{rate:.1f}/s", style="dim"))
    return Group(head, table, *(Text(reason, style="yellow") for reason in progress.reasons))


def _stages(counts: StageCounts) -> list[tuple[str, int]]:
    return [
        ("Generated", counts.generated),
        ("Registered in Rucio", counts.registered),
        *((f"Verified at {rse}", count) for rse, count in counts.verified.items()),
        ("Safe to delete", counts.safe),
        ("Deleted from the buffer", counts.released),
    ]


def _bar(count: int, expected: int | None) -> ProgressBar:
    total = expected if expected else max(count, 1)
    done = expected is not None and count >= expected
    return ProgressBar(total=total, completed=count, width=40, complete_style="green" if done else "cyan")


def _summary(progress: Progress, proof: CloseoutProof | None) -> Table:
    run = progress.run
    style = _style(run.lifecycle_choice.colour)
    table = Table(title=f"Run {run.run_number}: {run.lifecycle_choice.label.lower()}", title_style=style)
    table.add_column("Stage")
    table.add_column("STFs", justify="right")
    table.add_column("Expected", justify="right")
    expected = "?" if progress.expected is None else str(progress.expected)
    for stage, count in _stages(progress.counts):
        table.add_row(stage, str(count), expected)
    missing = proof.missing if proof else []
    table.caption = f"{len(missing)} missing, {progress.seconds:.1f} s"
    for item in missing[:20]:
        table.add_row(f"[red]STF {item['sequence']}: {item['kind']}[/] {item['reason']}", "", "")
    return table


def _style(colour: str) -> str:
    return _STYLES.get(colour, colour)
