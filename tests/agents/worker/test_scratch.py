"""The directories in which commands work: what a killed worker leaves goes, what a living one has stays."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apps.agents.worker.scratch import scratch_directory
from services.base import REPOSITORY

OTHER = """
import sys
from pathlib import Path
from apps.agents.worker.scratch import scratch_directory
with scratch_directory(Path(sys.argv[1])) as own:
    (own / "half").write_text("done")
    print(own, flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_worker(root: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process, and its directory below `root` with a file in it."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(root)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_a_worker_has_a_directory_until_it_leaves(tmp_path: Path) -> None:
    root = tmp_path / "scratch"
    with scratch_directory(root) as own:
        (own / "half").write_text("done")
        assert own.parent == root

    assert list(root.iterdir()) == []


def test_a_worker_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), scratch_directory(tmp_path):
        raise RuntimeError

    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_worker_leaves_goes_with_the_next_start_and_not_before(tmp_path: Path) -> None:
    with another_worker(tmp_path) as (other, theirs):
        with scratch_directory(tmp_path):
            assert (theirs / "half").read_text() == "done"
        other.kill()
        other.wait()
        assert (theirs / "half").exists()

        with scratch_directory(tmp_path) as own:
            assert list(tmp_path.iterdir()) == [own]
