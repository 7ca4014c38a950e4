"""`python -m benchmarks fastpath`: options and tables."""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.fastpath import big, latency, slices
from benchmarks.fastpath.big import BigStf
from benchmarks.fastpath.latency import REAL_RATE, Latency
from benchmarks.fastpath.slices import Slices
from benchmarks.fastpath.testbed import running_testbed
from services.base import default_home
from services.xrootd.engine import XRootD

TRANSFERS = {"file": "posix", "xrootd": "xrootd"}


@dataclass(frozen=True)
class Size:
    """How much is measured: STFs at each rate, bytes of the big STF, STFs of the run whose workers are killed."""

    stfs: dict[float, int]
    big_bytes: int
    sliced_stfs: int


NORMAL = Size({REAL_RATE: 60, 10.0: 200}, big.STF_BYTES, 1000)
QUICK = Size({REAL_RATE: 10}, 50_000_000, 40)
STF_BYTES = 2_000_000


def main(arguments: list[str]) -> int:
    """Measure, show the tables; the exit status is 0 when every slice was done exactly once."""
    options = _options(arguments)
    size = QUICK if options.quick else NORMAL
    console = Console(stderr=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the engines must not outlive it
    latencies: list[Latency] = []
    bigs: list[BigStf] = []
    sliced: list[Slices] = []
    sources = ["file", "xrootd"] if _has_xrootd() else ["file"]
    for source in sources:
        with console.status(f"{source}: starting") as status, running_testbed(TRANSFERS[source]) as testbed:
            for rate, stfs in size.stfs.items():
                status.update(f"{source}: {stfs} STFs at {rate:g}/s")
                latencies.append(latency.measure(testbed, source, rate=rate, stfs=stfs, stf_bytes=STF_BYTES))
            status.update(f"{source}: one STF of {size.big_bytes} bytes")
            bigs.append(big.measure(testbed, source, stf_bytes=size.big_bytes))
            if source == "file":
                status.update(f"slices of {size.sliced_stfs} STFs, workers being killed")
                sliced.append(slices.measure(testbed, stfs=size.sliced_stfs))
    for title, rows in (("STF closed -> on the page", latencies), ("One big STF", bigs), ("Slices", sliced)):
        console.print(_table(title, rows))
    if options.json:
        print(json.dumps(_result(latencies, bigs, sliced)))
    return 0 if all(one.exactly_once for one in sliced) else 1


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks fastpath",
        description="Starts whole testbeds of its own and measures how fast a sample of each STF is on the page, at the "
        "real rate and at 10 STF/s, read by file and by XRootD; what one STF of 2 GB costs; and how slices fare whose "
        "workers are killed. About ten minutes.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="few and small: does it work, and about how fast"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args(arguments)


def _has_xrootd() -> bool:
    return XRootD(default_home()).embedded()


def _table(title: str, rows: Sequence[Latency | BigStf | Slices]) -> Table:
    """One column per measured thing, one line per figure: there are more figures than fit side by side."""
    table = Table(title=title, show_header=False)
    figures = [asdict(row) for row in rows]
    for name in figures[0] if figures else ():
        table.add_row(name.replace("_", " "), *(_shown(one[name]) for one in figures))
    return table


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _result(latencies: Sequence[Latency], bigs: Sequence[BigStf], sliced: Sequence[Slices]) -> dict[str, Any]:
    """`nominal` is the real rate, as the testbed reads where it is installed: by XRootD, else by file."""
    at_rate = [one for one in latencies if one.offered_rate == REAL_RATE]
    return {
        "nominal": asdict(at_rate[-1]),
        "latencies": [asdict(one) for one in latencies],
        "big": [asdict(one) for one in bigs],
        "slices": [asdict(one) for one in sliced],
    }
