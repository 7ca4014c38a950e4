"""What the command line shows: steps with their seconds, the status table, failures. All of it with rich."""

from __future__ import annotations

import time
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from swf_site.cli.compose import Container
from swf_site.cli.system import SystemState

FRAMES_PER_SECOND = 8


class StepDisplay:
    """Steps as they go: a spinner each on a terminal; elsewhere one line when a step is done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun: dict[str, float] = {}
        self._live = Live(
            console=console, refresh_per_second=FRAMES_PER_SECOND, get_renderable=self._render, transient=True
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def begin(self, name: str) -> None:
        """A step has begun."""
        self._begun[name] = time.monotonic()

    def finish(self, name: str, note: str) -> None:
        """A step is done: its line stays."""
        self._line("[green]✓[/green]", name, note)

    def fail(self, name: str) -> None:
        """A step has failed: its line stays, the reason is told by the command."""
        self._line("[red]✗[/red]", name, "failed")

    def _line(self, sign: str, name: str, note: str) -> None:
        seconds = time.monotonic() - self._begun.pop(name)
        self._console.print(f"{sign} {name:<10} {seconds:5.1f} s  {note}", highlight=False)

    def _render(self) -> Table:
        grid = Table.grid(padding=(0, 1))
        for name, begun in list(self._begun.items()):
            grid.add_row(self._spinner, Text(f"{name:<10} {time.monotonic() - begun:5.1f} s"))
        return grid

    _spinner = Spinner("dots", style="cyan")


def show_status(console: Console, state: SystemState) -> None:
    """A table of processes with their engines' answers, or how to start when nothing runs."""
    if not state.supervisor:
        console.print("The testbed is not running. Start it: swf-testbed start-local")
        return
    reasons = {engine.name: engine.reason for engine in state.engines if engine.elsewhere is None}
    table = Table(
        "process", "state", "pid", "up for", "", box=None, header_style="bold", padding=(0, 2, 0, 0)
    )
    for process in state.processes:
        reason = process.problem or reasons.get(process.name)
        fine = process.state == "RUNNING" and reason is None
        table.add_row(
            process.name,
            Text(process.state.lower(), style="green" if fine else "red"),
            str(process.pid or "-"),
            "-" if process.uptime is None else str(timedelta(seconds=process.uptime)),
            Text("answers" if process.name in reasons and fine else reason or ""),
        )
    for engine in state.engines:
        if engine.elsewhere is not None:
            table.add_row(
                engine.name,
                Text("elsewhere", style="green" if engine.ready else "red"),
                "-",
                "-",
                Text(engine.reason or f"answers at {engine.elsewhere}"),
            )
    console.print(table)
    console.print(f"Dashboard: {state.dashboard}")


def show_containers(console: Console, found: list[Container]) -> None:
    """A table of containers, or how to start when there are none."""
    if not found:
        console.print("No containers. Start them: swf-testbed start")
        return
    table = Table("service", "state", "health", box=None, header_style="bold", padding=(0, 2, 0, 0))
    for one in found:
        table.add_row(one.service, Text(one.state, style="green" if one.fine else "red"), one.health)
    console.print(table)
