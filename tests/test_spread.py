"""The suite on several processes: each test once, and those of whole testbeds when all others have ended."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from services.base import REPOSITORY
from tests.spread import LONG

# Without the plugins of the project: loading them would be most of the work.
BARE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
OPTIONS = [
    "-p",
    "xdist",
    "-p",
    "tests.spread",
    "-p",
    "no:cacheprovider",
    "-q",
    "--dist",
    "loadfile",
    "--max-worker-restart",
    "0",
]
# Says when it begins and ends, and where.
TEST = """
import os, time
from pathlib import Path

import pytest

@pytest.mark.parametrize("nth", range({count}))
def test_it(nth, request):
    with Path({log!r}).open("a", buffering=1) as log:
        where = os.environ.get("PYTEST_XDIST_WORKER", "here")
        log.write(f"begin {name} {{nth}} {{where}}\\n")
        time.sleep(0.02)
        log.write(f"end {name} {{nth}} {{where}}\\n")
    {last}
"""


class Suite:
    """A suite of its own in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "log"
        (directory / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")

    def file(self, folder: str, name: str, count: int, last: str = "", *, services: bool = False) -> None:
        """A file of tests; with the mark `services` if they are said to start engines."""
        path = self.directory / "tests" / folder / f"test_{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        test = TEST.format(name=name, count=count, log=str(self.log), last=last)
        path.write_text(test + "pytestmark = pytest.mark.services\n" * services)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Pytest on it."""
        return subprocess.run(
            [sys.executable, "-m", "pytest", *OPTIONS, *arguments],
            cwd=self.directory,
            env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin", **BARE},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def said(self) -> list[list[str]]:
        """What the tests wrote: begin or end, the file, which one, the process."""
        return [line.split() for line in self.log.read_text().splitlines()]

    def alone(self) -> bool:
        """Whether the tests of `tests/system` ran one at a time, behind all others."""
        said = self.said()
        first = next(i for i, (_, name, *_) in enumerate(said) if name.startswith("whole"))
        pairs = [(said[i][1:], said[i + 1][1:]) for i in range(first, len(said), 2)]
        return all(one == other and one[0].startswith("whole") for one, other in pairs)


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """An empty one."""
    return Suite(tmp_path)


@pytest.mark.parametrize("files", [0, 1, 4])
def test_whole_testbeds_have_the_machine_for_themselves(suite: Suite, files: int) -> None:
    for nth in range(files):
        suite.file("agents", f"part{nth}", count=nth + 1)
    suite.file("system", "whole1", count=2)
    suite.file("system", "whole2", count=2)
    done = suite.run("-n", "2")
    assert done.returncode == 0, done.stdout
    ran = Counter((name, nth) for what, name, nth, _ in suite.said() if what == "end")
    assert len(ran) == sum(range(files + 1)) + 4
    assert set(ran.values()) == {1}
    assert suite.alone()


def test_long_files_begin_and_others_wait_and_compute_by_turns(suite: Suite) -> None:
    for nth in range(3):
        suite.file("runs", f"computes{nth}", count=2)
    for nth in range(2):
        suite.file("services", f"waits{nth}", count=2, services=True)
    suite.file("stf", "slice_machine", count=1)
    assert "tests/stf/test_slice_machine.py" in LONG
    assert suite.run("-n", "0").returncode == 0
    files = [name for what, name, nth, _ in suite.said() if (what, nth) == ("begin", "0")]
    assert files == ["slice_machine", "waits0", "computes0", "waits1", "computes1", "computes2"]


def test_the_long_files_are_there() -> None:
    assert [file for file in LONG if not (REPOSITORY / file).is_file()] == []


def test_a_process_that_dies_ends_the_run(suite: Suite) -> None:
    suite.file("agents", "crash", count=2, last="os._exit(3)")
    suite.file("runs", "part", count=3)
    suite.file("system", "whole", count=2)
    done = suite.run("-n", "2")
    assert done.returncode == 1
    assert "crashed while running 'tests/agents/test_crash.py::test_it[0]'" in done.stdout
    assert not [name for _, name, *_ in suite.said() if name == "whole"]


def test_what_is_named_runs_in_one_process(suite: Suite) -> None:
    suite.file("agents", "part1", count=1)
    suite.file("agents", "part2", count=1)
    for given, expected in ([], "gw"), (["tests/agents"], "here"), (["--ignore", "tests/system"], "gw"):
        assert suite.run("-n", "auto", *given).returncode == 0
        assert {where.rstrip("0123") for *_, where in suite.said()} == {expected}
        suite.log.unlink()
