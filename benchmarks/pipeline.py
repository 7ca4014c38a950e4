"""The pipeline: a run of N STFs offered at a constant rate; how fast each stage follows, and how long each STF takes.

All times come from the rows that the agents wrote, so the measurement costs the system nothing while it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.numbers import percentile
from services.base import REPOSITORY, default_home
from services.registry import compose_environment
from swf_site.cli.home import current_home
from swf_site.cli.supervisor import Supervisor

PERCENTILES = (0.5, 0.95, 0.99)

# Of each STF, when it came through each stage (Unix time); the last copy is the slower site's, as is the last job.
_MOMENTS = """
SELECT
    extract(epoch FROM generated_at)::float8,
    extract(epoch FROM registered_at)::float8,
    extract(epoch FROM releasable_at)::float8,
    extract(epoch FROM processed.at)::float8
FROM stf_stffile AS stf JOIN runs_run ON runs_run.id = stf.run_id
LEFT JOIN LATERAL (
    SELECT max(done_at) AS at FROM stf_stfprocessing WHERE stf_id = stf.id HAVING bool_and(state = 'done')
) AS processed ON true
WHERE run_number = %s ORDER BY sequence
"""
STAGES = ("generated", "registered", "verified at every site", "processed at its sites")


@dataclass(frozen=True)
class Stage:
    """One stage: STFs, STF/s from its first to its last, and percentiles of the time since the file was closed, s."""

    name: str
    stfs: int
    rate: float
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class Result:
    """A measured run."""

    run_number: int
    state: str
    offered_rate: float
    stf_bytes: int
    missing: int
    verified: dict[str, int]
    seconds: float
    stages: list[Stage]


def main(arguments: list[str]) -> int:
    """Measure a run and show the result; the exit status is 0 when the run closed with nothing missing."""
    options = _options(arguments)
    console = Console(stderr=True)
    environment = dict(os.environ)
    if options.transfer:
        environment["SWF_TRANSFER"] = options.transfer
    launcher = [sys.executable, "-m", "swf_site.cli"]
    if options.transfer and Supervisor(current_home()).is_running():
        raise SystemExit(
            "--transfer is chosen when the testbed starts, and it runs already: ./swf-testbed stop-local"
        )
    subprocess.run([*launcher, "start-local"], cwd=REPOSITORY, env=environment, stdout=sys.stderr, check=True)
    result = _measure(options, environment)
    console.print(_table(result))
    if options.stop:
        subprocess.run(
            [*launcher, "stop-local"], cwd=REPOSITORY, env=environment, stdout=sys.stderr, check=True
        )
    if options.json:
        print(json.dumps(asdict(result)))
    return 0 if result.state == "closed" and not result.missing else 1


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks pipeline",
        description="Offers STFs at a constant rate to the testbed (started if it does not run) and measures "
        "every stage. Both cores of a small machine are shared by DAQ, agents, database and Rucio.",
    )
    parser.add_argument("--stf-count", type=int, default=300, metavar="N")
    parser.add_argument("--stf-size", type=int, default=100_000, metavar="BYTES")
    parser.add_argument("--rate", type=float, default=50.0, help="STF/s offered (default 50)")
    parser.add_argument(
        "--transfer", choices=["posix", "xrootd", "auto"], help="how copies are made (a new start)"
    )
    parser.add_argument("--stop", action="store_true", help="stop the testbed afterwards")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args(arguments)


def _measure(options: argparse.Namespace, environment: dict[str, str]) -> Result:
    command = [sys.executable, "manage.py", "start_run", "--workflow", "demo", "--follow", "--json"]
    command += ["--stf-count", str(options.stf_count), "--stf-size", str(options.stf_size)]
    command += ["--stf-interval", str(1 / options.rate)]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if not done.stdout.strip():
        raise SystemExit("the run could not be started, see above")
    outcome = json.loads(done.stdout.splitlines()[-1])
    return Result(
        run_number=outcome["run_number"],
        state=outcome["state"],
        offered_rate=options.rate,
        stf_bytes=options.stf_size,
        missing=len(outcome["missing"]),
        verified=outcome["verified"],
        seconds=outcome["seconds"],
        stages=_stages(outcome["run_number"]),
    )


def _stages(run_number: int) -> list[Stage]:
    home: Path = default_home()
    with psycopg.connect(compose_environment(home)["DATABASE_URL"]) as connection:
        rows = connection.execute(_MOMENTS, [run_number]).fetchall()
    generated = [row[0] for row in rows]
    return [_stage(name, [row[n] for row in rows], generated) for n, name in enumerate(STAGES)]


def _stage(name: str, times: list[float | None], since: list[float]) -> Stage:
    done = sorted(time for time in times if time is not None)
    latencies = sorted(time - start for time, start in zip(times, since, strict=True) if time is not None)
    span = done[-1] - done[0] if len(done) > 1 else 0.0
    rate = (len(done) - 1) / span if span else 0.0
    p50, p95, p99 = (round(percentile(latencies, share), 3) for share in PERCENTILES)
    return Stage(name, len(done), round(rate, 1), p50, p95, p99)


def _table(result: Result) -> Table:
    table = Table(
        title=f"Run {result.run_number}: {result.state}, {result.missing} missing",
        caption=f"offered {result.offered_rate:g} STF/s of {result.stf_bytes} bytes; {result.seconds:.1f} s in all",
    )
    for heading in ("Stage", "STFs", "STF/s", "p50 s", "p95 s", "p99 s"):
        table.add_column(heading, justify="left" if heading == "Stage" else "right")
    for stage in result.stages:
        table.add_row(
            stage.name,
            str(stage.stfs),
            f"{stage.rate:.1f}",
            *(f"{v:.2f}" for v in (stage.p50, stage.p95, stage.p99)),
        )
    return table
