"""`python -m benchmarks bus`: options, medians, ratios, tables."""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.bus import plain, tasks
from benchmarks.bus.home import Buses, running_buses, use_activemq
from benchmarks.bus.plain import PlainRound
from benchmarks.bus.tasks import Load, TaskRound

TASK_FIGURES = ("published_per_second", "tasks_per_second", "p50_ms", "p99_ms")
PLAIN_FIGURES = ("handled_per_second", "p50_ms", "p99_ms")
# Headings of columns that hold no numbers.
NAMES = ("", "Pool", "Bus", "Round")
# Name of a ratio, the pool that it is of, the figure.
RATIOS = {
    "ratio_stomp_amqp": ("prefork", "tasks_per_second"),
    "ratio_stomp_amqp_solo": ("solo", "tasks_per_second"),
    "ratio_stomp_amqp_publish": ("prefork", "published_per_second"),
    "ratio_stomp_amqp_publish_solo": ("solo", "published_per_second"),
    "ratio_stomp_amqp_p50": ("prefork", "p50_ms"),
    "ratio_stomp_amqp_p50_solo": ("solo", "p50_ms"),
    "ratio_stomp_amqp_p99": ("prefork", "p99_ms"),
    "ratio_stomp_amqp_p99_solo": ("solo", "p99_ms"),
}


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    load: Load
    plain_at_once: int
    plain_calmly: int


# On shared cores, what runs for half a second is up to a third faster in one round than in the next, and a p99 of 200 calls
# twice as high: ratios of shorter rounds than these say more of the machine than of the buses.
NORMAL = Size(5, Load(at_once=6000, calmly=500), plain_at_once=4000, plain_calmly=300)
QUICK = Size(1, Load(at_once=200, calmly=40), plain_at_once=1500, plain_calmly=30)


def main(arguments: list[str]) -> int:
    """Measure, show the tables; the exit status is 0 when every message arrived."""
    options = _options(arguments)
    size = QUICK if options.quick else NORMAL
    rounds = options.rounds or size.rounds
    console = Console(stderr=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the engines must not outlive it
    with console.status("starting the engines") as status, running_buses() as buses:
        for scheme, reason in buses.missing.items():
            console.print(f"{scheme}:// is left out: {reason}")
        status.update("tasks")
        measured_tasks = list(tasks.measure(buses.urls, buses.home, rounds=rounds, load=size.load))
        status.update("plain messages")
        measured_plain = _plain(buses, rounds, size) if "stomp" in buses.urls else []
    for table in (
        _task_table(measured_tasks, size.load),
        _ratio_table(measured_tasks),
        _plain_table(measured_plain),
    ):
        if table.row_count:
            console.print(table)
    if options.json:
        print(json.dumps(_result(measured_tasks, measured_plain)))
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks bus",
        description="Compares stomp:// (ActiveMQ), amqp:// (RabbitMQ) and pgmq:// (PostgreSQL) on engines of its own, "
        "and measures how fast the data agent takes plain JSON off ActiveMQ. About eleven minutes.",
    )
    parser.add_argument("--rounds", type=_positive, metavar="N", help="rounds of both parts (default 5)")
    parser.add_argument(
        "--quick", action="store_true", help="one small round: does it work, and about how fast"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


def _plain(buses: Buses, rounds: int, size: Size) -> list[PlainRound]:
    use_activemq(buses.home)
    return list(plain.measure(buses, rounds=rounds, at_once=size.plain_at_once, calmly=size.plain_calmly))


def _medians(rounds: Sequence[TaskRound | PlainRound], figures: Sequence[str]) -> dict[str, float]:
    return {figure: round(median(getattr(one, figure) for one in rounds), 2) for figure in figures}


def _lanes(rounds: Sequence[TaskRound]) -> dict[tuple[str, str], list[TaskRound]]:
    """The rounds of each pool and bus, in the order measured."""
    lanes: dict[tuple[str, str], list[TaskRound]] = {}
    for one in rounds:
        lanes.setdefault((one.pool, one.bus), []).append(one)
    return lanes


def ratios(rounds: Sequence[TaskRound]) -> dict[str, float]:
    """stomp's figure over amqp's of the same round, the median of all rounds; none without either."""
    lanes, found = _lanes(rounds), {}
    for name, (pool, figure) in RATIOS.items():
        pairs = zip(lanes.get((pool, "stomp"), ()), lanes.get((pool, "amqp"), ()), strict=False)
        values = [getattr(one, figure) / getattr(other, figure) for one, other in pairs]
        if values:
            found[name] = round(median(values), 3)
    return found


def _result(task_rounds: Sequence[TaskRound], plain_rounds: Sequence[PlainRound]) -> dict[str, Any]:
    return {
        **ratios(task_rounds),
        "tasks": [
            {"pool": pool, "bus": bus, **_medians(rounds, TASK_FIGURES)}
            for (pool, bus), rounds in _lanes(task_rounds).items()
        ],
        "plain": _medians(plain_rounds, PLAIN_FIGURES) if plain_rounds else {},
        "task_rounds": [asdict(one) for one in task_rounds],
        "plain_rounds": [asdict(one) for one in plain_rounds],
    }


def _task_table(rounds: Sequence[TaskRound], load: Load) -> Table:
    table = _table(
        f"Tasks: medians of {len({one.round for one in rounds})} interleaved rounds",
        ("Pool", "Bus", "published/s", "tasks/s", "p50 ms", "p99 ms"),
        f"{load.at_once} published with the broker's word for each, then run, acknowledged late; latency of "
        f"{load.calmly} at {tasks.CALM_RATE:.0f}/s, from the call to the body",
    )
    for (pool, bus), of_lane in _lanes(rounds).items():
        table.add_row(pool, f"{bus}://", *map(_shown, _medians(of_lane, TASK_FIGURES).values()))
    return table


def _ratio_table(rounds: Sequence[TaskRound]) -> Table:
    table = _table("stomp:// over amqp://, medians of the rounds' ratios", ("", "prefork", "solo"))
    found = ratios(rounds)
    for figure in TASK_FIGURES:
        pools = {pool: found.get(name) for name, (pool, of) in RATIOS.items() if of == figure}
        if all(pools.values()):
            table.add_row(figure, *(f"{pools[pool]:.2f}" for pool in ("prefork", "solo")))
    return table


def _plain_table(rounds: Sequence[PlainRound]) -> Table:
    table = _table(
        "Plain stf_gen on ActiveMQ's topic, handled by the data agent",
        ("Round", "messages", "handled/s", "p50 ms", "p99 ms"),
        f"rate of a flood; latency at {plain.CALM_RATE:.0f}/s, from sending to the word that it is committed",
    )
    for one in rounds:
        table.add_row(str(one.round), str(one.messages), *map(_shown, _figures(one)))
    if rounds:
        table.add_row("median", "", *map(_shown, _medians(rounds, PLAIN_FIGURES).values()), style="bold")
    return table


def _figures(one: PlainRound) -> tuple[float, ...]:
    return tuple(getattr(one, figure) for figure in PLAIN_FIGURES)


def _table(title: str, headings: Sequence[str], caption: str = "") -> Table:
    table = Table(title=title, caption=caption)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in NAMES else "right")
    return table


def _shown(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"
