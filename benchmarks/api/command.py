"""`python -m benchmarks api`: options, the order of things, tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import time
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.status import Status
from rich.table import Table

from benchmarks.api import fanout, filling, lists, registering
from benchmarks.api.cpu import web_processes
from benchmarks.api.fanout import FanOut
from benchmarks.api.filling import Size
from benchmarks.api.listeners import TRANSPORTS
from benchmarks.api.lists import Latency
from benchmarks.api.registering import Daq, Registration
from benchmarks.api.rows import PER_RUN
from benchmarks.api.rows_once import ONCE
from benchmarks.api.site import Site, running_site
from services.base import REPOSITORY

# What a list and a row may take, and how fast STFs are to be registered: one by one from one and from eight clients, in
# lists.
P95_MS = 100.0
PER_SECOND = {(1, 1): 225.0, (8, 1): 400.0}
IN_LISTS_PER_SECOND = 5000.0
# From the commit of an entry until each client has it.
FANOUT_P99_MS = 200.0

SMALL = Size(first_run=200_000, runs=10, stfs_per_run=100)
LARGE = Size(first_run=300_000, runs=1000, stfs_per_run=1000)
FIRST_RUN_OF_DAQ = 900_001


@dataclass(frozen=True)
class Effort:
    """How much is measured: requests of each kind and s for them at most; requests by clients and STFs in each; clients of
    the live feed, and s for which they listen."""

    sizes: Sequence[Size]
    requests: int
    seconds: float
    registrations: dict[tuple[int, int], int]
    listeners: int
    listening_seconds: float


NORMAL = Effort(
    [SMALL, LARGE], 60, 3.0, {(1, 1): 1500, (8, 1): 3200, (1, 500): 20, (4, 500): 40, (1, 5000): 4}, 200, 20.0
)
QUICK = Effort([SMALL], 5, 1.0, {(1, 1): 100, (8, 1): 160, (1, 100): 2}, 20, 3.0)


@dataclass
class Measured:
    """What was measured with so many rows in the tables."""

    rows: dict[str, int]
    fill_seconds: float
    load_average: float
    lists: list[Latency] = field(default_factory=list)
    registrations: list[Registration] = field(default_factory=list)


def main(arguments: list[str]) -> int:
    """Measure, show the tables; the exit status is 0 when every request was answered and no client missed an event."""
    options = _options(arguments)
    effort = QUICK if options.quick else NORMAL
    console = Console(stderr=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the engines must not outlive it
    began = time.monotonic()
    with console.status("starting PostgreSQL and the web process") as status, running_site() as site:
        conditions = _conditions(site)
        fanned_out = [fan_out(site, transport, effort, status) for transport in TRANSPORTS]
        measured = [
            measure(site, size, FIRST_RUN_OF_DAQ + nth, effort, status)
            for nth, size in enumerate(effort.sizes)
        ]
    seconds = round(time.monotonic() - began, 1)
    for one in measured:
        console.print(_list_table(one), _registration_table(one))
    console.print(_fanout_table(fanned_out))
    console.print(f"{conditions}; {seconds:g} s in all", highlight=False)
    if options.json:
        print(json.dumps(_result(measured, fanned_out, conditions, seconds)))
    answered = all(latency.status == 200 for one in measured for latency in one.lists)
    return 0 if answered and all(one.exact for one in fanned_out) else 1


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks api",
        description="Measures lists, rows and the registration of STFs over REST, on a PostgreSQL and a web process of "
        "its own: with a thousand STFs, then with a million and ten million entries of the journal. About ten minutes, "
        "and 15 GB of disk.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a thousand STFs, few requests: does it work, and about how fast"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args(arguments)


def measure(site: Site, size: Size, run_of_daq: int, effort: Effort, status: Status) -> Measured:
    """Fill in so many rows more, then measure lists, and registration in a run of this number."""
    began = time.monotonic()
    _fill(site, size, status)
    measured = Measured(_rows(site), round(time.monotonic() - began, 1), round(os.getloadavg()[0], 2))
    total = measured.rows["stf_stffile"]
    measured.lists = lists.measure(
        site,
        run_number=size.first_run + size.runs // 2,
        requests=effort.requests,
        seconds=effort.seconds,
        told=lambda path: status.update(f"{total} STFs: {path}"),
    )
    daq = Daq(site, run_of_daq)
    for (clients, stfs), requests in effort.registrations.items():
        status.update(f"{total} STFs: registering, {clients} clients, {stfs} at a time")
        measured.registrations.append(
            registering.measure(site, daq, clients=clients, stfs_per_request=stfs, requests=requests)
        )
    return measured


def fan_out(site: Site, transport: str, effort: Effort, status: Status) -> FanOut:
    """Have so many clients follow what is committed, by this transport."""
    status.update(f"{effort.listeners} clients of {transport}")
    return fanout.measure(
        f"http://127.0.0.1:{site.web_port}",
        web_pid=site.web_pid,
        transport=transport,
        clients=effort.listeners,
        seconds=effort.listening_seconds,
        token=site.token,
        environment=site.environment,
    )


def _fill(site: Site, size: Size, status: Status) -> None:
    parameters = tomllib.loads((REPOSITORY / "workflows" / "stf_datataking.toml").read_text())
    status.stop()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=status.console, transient=True) as progress:
        task = progress.add_task("STFs filled in", total=size.stfs)
        filling.fill(
            site,
            size,
            once=ONCE,
            per_run=PER_RUN,
            parameters=json.dumps(parameters, default=str),
            progress=lambda stfs: progress.advance(task, stfs),
        )
    status.start()


def _rows(site: Site) -> dict[str, int]:
    """How many rows the tables have, which have just been counted by `ANALYZE`; those with none are left out."""
    query = (
        "SELECT relname, reltuples::bigint FROM pg_class WHERE relkind = 'r' AND reltuples > 0 "
        "AND relnamespace = 'public'::regnamespace AND relname ~ '^(runs|stf|agents)_' ORDER BY relname"
    )
    with site.connect() as connection:
        return dict(connection.execute(query).fetchall())


def _conditions(site: Site) -> dict[str, Any]:
    with site.connect() as connection:
        version = connection.execute("SHOW server_version").fetchone()
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "postgresql": version[0].split()[0] if version else "",
        "web_processes": web_processes(site.web_pid),
    }


def _result(
    measured: Sequence[Measured], fanned_out: Sequence[FanOut], conditions: dict[str, Any], seconds: float
) -> dict[str, Any]:
    """`slow` are the requests that take longer than they may."""
    return {
        "conditions": conditions,
        "seconds": seconds,
        "sizes": [
            {
                **asdict(one),
                "worst_p95_ms": max((latency.p95_ms for latency in one.lists), default=0.0),
                "slow": [latency.what for latency in one.lists if latency.p95_ms > P95_MS],
            }
            for one in measured
        ],
        "fanout": {one.transport: asdict(one) for one in fanned_out},
    }


def _list_table(one: Measured) -> Table:
    table = Table(
        title=f"{one.rows['stf_stffile']:,} STFs, {one.rows['runs_journalentry']:,} entries of the journal",
        caption=f"one request after the other; load average {one.load_average:g}; filled in {one.fill_seconds:g} s",
    )
    for heading in ("Request", "p50 ms", "p95 ms", "p99 ms", "web CPU ms", "queries", "kB"):
        table.add_column(heading, justify="left" if heading == "Request" else "right")
    for latency in one.lists:
        figures = (latency.p50_ms, latency.p95_ms, latency.p99_ms, latency.web_cpu_ms)
        table.add_row(
            latency.what if latency.status == 200 else f"{latency.what} ({latency.status})",
            *(f"{figure:.1f}" for figure in figures),
            str(latency.queries),
            f"{latency.bytes / 1000:.1f}",
            style="bold red" if latency.p95_ms > P95_MS else "",
        )
    return table


def _registration_table(one: Measured) -> Table:
    table = Table(title=f"Registration with {one.rows['stf_stffile']:,} STFs")
    for heading in (
        "Clients",
        "STFs/request",
        "STFs",
        "STFs/s",
        "wanted",
        "p50 ms",
        "p95 ms",
        "CPU ms/STF",
        "queries",
    ):
        table.add_column(heading, justify="right")
    for each in one.registrations:
        wanted = PER_SECOND.get((each.clients, each.stfs_per_request), IN_LISTS_PER_SECOND)
        table.add_row(
            str(each.clients),
            str(each.stfs_per_request),
            str(each.stfs),
            f"{each.stfs_per_second:.0f}",
            f"{wanted:.0f}",
            f"{each.p50_ms:.1f}",
            f"{each.p95_ms:.1f}",
            f"{each.web_cpu_ms_per_stf:.2f}",
            str(each.queries),
            style="bold red" if each.stfs_per_second < wanted else "",
        )
    return table


def _fanout_table(fanned_out: Sequence[FanOut]) -> Table:
    table = Table(title="From the commit of an entry until the clients of the live feed have it")
    for heading in ("Transport", "clients", "deliveries/s", "p50 ms", "p95 ms", "p99 ms", "web CPU", "exact"):
        table.add_column(heading, justify="left" if heading == "Transport" else "right")
    for one in fanned_out:
        table.add_row(
            one.transport,
            str(one.clients),
            f"{one.deliveries_per_s:.0f}",
            *(f"{figure:.0f}" for figure in (one.p50_ms, one.p95_ms, one.p99_ms)),
            f"{one.web_cpu:.2f}",
            "yes" if one.exact else "NO",
            style="bold red" if one.p99_ms > FANOUT_P99_MS or not one.exact else "",
        )
    return table
