"""How `swf-testbed fastmon` looks: counts and rates of a run, and a line per detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

SPARKS = "▁▂▃▄▅▆▇█"
SPARK_WIDTH = 24
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True)
class Figures:
    """What is shown: the testbed's JSON, rates per second if they are known, and why nothing newer is there, "" if it is."""

    content: dict[str, Any]
    rates: dict[str, float] | None = None
    trouble: str = ""


def shown(figures: Figures, height: int | None = None) -> RenderableType:
    """All of it, one below the other; of the detectors, as many as there are lines for."""
    summary, slices = figures.content["summary"], figures.content["slices"]
    above: list[RenderableType] = [_head(figures), _counts(figures)]
    lines = 1 + _counts(figures).row_count + 1
    if slices["created"]:
        above.append(_slices(slices))
        lines += _slices(slices).row_count + 1
    below = _reasons(summary)
    if figures.trouble:
        below.append(Text(figures.trouble, style="red"))
    detectors = figures.content["detectors"]
    room = len(detectors)
    if height is not None:
        # Its own heads, the line that says what is left out, and the last line of the terminal.
        room = max(1, height - lines - len(below) - 3)
    if left_out := len(detectors[room:]):
        below.insert(0, Text(f"and {left_out} more detectors: enlarge the terminal", style="dim"))
    return Group(*above, _detectors(detectors[:room]), *below)


def sparkline(values: Sequence[float | None], width: int = SPARK_WIDTH) -> str:
    """The newest values as blocks, the highest of them full; a dot where there is none."""
    newest = values[-width:]
    most = max((value for value in newest if value is not None), default=0.0)
    if not most:
        return "".join("·" if value is None else SPARKS[0] for value in newest)
    steps = len(SPARKS) - 1
    return "".join("·" if value is None else SPARKS[round(value / most * steps)] for value in newest)


def size(count: float) -> str:
    """Bytes in decimal units: `1.9 MB`."""
    unit = 0
    while count >= 1000 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.1f} {_UNITS[unit]}" if unit else f"{count:.0f} B"


def _head(figures: Figures) -> Text:
    content = figures.content
    return Text(f"Run {content['run_number']}", style="bold").append(
        f"  {content['summary']['sampled']} STFs sampled", style="not bold"
    )


def _counts(figures: Figures) -> Table:
    summary, rates = figures.content["summary"], figures.rates
    table = _table("", "", "per s")
    rate = {name: _rate(value) for name, value in (rates or {}).items()}
    table.add_row("STFs sampled", _grouped(summary["sampled"]), rate.get("sampled", ""))
    table.add_row("time frames", _grouped(summary["tfs"]), rate.get("tfs", ""))
    table.add_row("hits", _grouped(summary["hits"]), rate.get("hits", ""))
    lost = summary["skipped"] + summary["failed"]
    words = f"{summary['skipped']} skipped, {summary['failed']} failed, {summary['waiting']} wait"
    table.add_row("not sampled", Text(words, style="yellow" if lost else ""))
    table.add_row("read", f"{size(summary['bytes_read'])} of {size(summary['bytes_of_stfs'])}")
    if summary["latency_p50"] is not None:
        words = f"{summary['latency_p50']:.2f} s, 95 % in {summary['latency_p95']:.2f} s"
        table.add_row("STF closed to histogram", words)
    table.add_row("corrupt", Text(str(summary["corrupt_tfs"]), style="red" if summary["corrupt_tfs"] else ""))
    return table


def _slices(slices: dict[str, Any]) -> Table:
    table = _table("slices", "", "")
    states = ", ".join(
        f"{slices[name]} {name}" for name in ("queued", "claimed", "done", "failed", "skipped")
    )
    table.add_row("of " + _grouped(slices["created"]), states)
    table.add_row("per s", f"{slices['arrival_rate']:.1f} cut, {slices['finish_rate']:.1f} done")
    table.add_row("workers", f"{slices['workers_up']} up, {slices['workers_wanted']} wanted")
    if slices["waits_for"]:
        table.add_row("waits for", Text(slices["waits_for"], style="yellow"))
    return table


def _detectors(detectors: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("detector", "group"):
        table.add_column(name)
    for name in ("hits", "per TF", "mean ADC"):
        table.add_column(name, justify="right")
    table.add_column("hits per TF, window by window")
    for one in detectors:
        table.add_row(
            one["name"],
            one["group"],
            _grouped(one["hits"]),
            _number(one["hits_per_tf"]),
            _number(one["means"]["adc"]),
            Text(sparkline(one["strip"]["hits_per_tf"]), style="cyan"),
        )
    return table


def _reasons(summary: dict[str, Any]) -> list[RenderableType]:
    return [
        Text(f"STF {one['sequence']} {one['state']}: {one['reason']}", style="yellow")
        for one in summary["last_reasons"]
    ]


def _table(*heads: str) -> Table:
    table = Table(box=None, show_header=any(heads), header_style="bold", padding=(0, 2, 0, 0))
    for nth, head in enumerate(heads):
        table.add_column(head, justify="right" if nth == 2 else "left")
    return table


def _rate(value: float) -> str:
    return f"{value:.1f}" if value < 100 else _grouped(round(value))


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
