"""Command line and exit status of the payload."""

from __future__ import annotations

import argparse
import sys
import time
from enum import IntEnum
from pathlib import Path

from apps.stf.container.format import ContainerError, NotAContainerError, TruncatedError
from payloads.stf_summary.analysis import Totals
from payloads.stf_summary.inputs import read_input
from payloads.stf_summary.results import write_root, write_summary


class Status(IntEnum):
    """What the exit status says; 2 is argparse's own, for a command line it does not understand."""

    DONE = 0
    CORRUPT = 3
    TRUNCATED = 4
    UNREADABLE = 5
    NOT_WRITTEN = 6


REASONS = {
    Status.CORRUPT: "corrupt input",
    Status.TRUNCATED: "truncated input",
    Status.UNREADABLE: "unreadable input",
    Status.NOT_WRITTEN: "result not written",
}
DESCRIPTION = f"""\
Summary of STFs: hits and clusters per detector, ADC spectra, one row per time frame.

exit status: 0 done, 2 wrong command line, {", ".join(f"{status} {reason}" for status, reason in REASONS.items())};
the last line on standard error says what and where.
"""


def main(arguments: list[str] | None = None) -> int:
    """Obey the command line; the return value is the exit status."""
    parser = argparse.ArgumentParser(
        prog="stf_summary", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("inputs", nargs="+", help="files; one word may name several, separated by commas")
    parser.add_argument("--root", type=Path, required=True, help="ROOT file to write")
    parser.add_argument("--summary", type=Path, required=True, help="JSON file to write")
    parser.add_argument(
        "--any-format", action="store_true", help="take a .stf that is no container for a plain file, too"
    )
    given = parser.parse_args(arguments)
    paths = [Path(name) for word in given.inputs for name in word.split(",") if name]
    if not paths:
        parser.error("no input file named")
    return _summarise(paths, given.root, given.summary, any_format=given.any_format)


def _summarise(paths: list[Path], root: Path, summary: Path, *, any_format: bool) -> int:
    begin = time.monotonic()
    totals = Totals()
    try:
        inputs = [read_input(path, totals, any_format=any_format) for path in paths]
    except NotAContainerError as error:
        return _fail(Status.UNREADABLE, error)
    except TruncatedError as error:
        return _fail(Status.TRUNCATED, error)
    except ContainerError as error:
        return _fail(Status.CORRUPT, error)
    except OSError as error:
        return _fail(Status.UNREADABLE, error)
    read_seconds = time.monotonic() - begin
    try:
        write_root(root, totals)
        write_summary(summary, totals, inputs, read_seconds=read_seconds, begin=begin)
    except OSError as error:
        return _fail(Status.NOT_WRITTEN, error)
    return Status.DONE


def _fail(status: Status, error: Exception) -> int:
    sys.stderr.write(f"stf_summary: {REASONS[status]}: {' '.join(str(error).split())}\n")
    return status
