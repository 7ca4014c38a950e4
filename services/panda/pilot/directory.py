"""The directory of a job, `<home>/pilots/<queue>/<PandaID>`: what its pilot has, and what the next finds if that one dies.

A directory belongs to the process that holds the lock on its file `lock`; the system releases the lock of a dead one.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LOCK, JOB, FINAL = "lock", "job.json", "final.json"


class JobDirectory:
    """One such directory, locked by this process.

    Attributes:
        path: the directory itself.
        work: beneath it, where the sandbox is unpacked and the payload runs.
        stdout, stderr: what the payload says.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self.work = path / "work"
        self.stdout = path / "payload.stdout"
        self.stderr = path / "payload.stderr"
        self._lock = lock

    @property
    def job(self) -> dict[str, Any] | None:
        """The job as PanDA described it; None when its pilot did not even come to write it down."""
        return _read(self.path / JOB)

    @property
    def final(self) -> dict[str, Any] | None:
        """The last report of the job, which PanDA may not have got yet; None when the job had not come so far."""
        return _read(self.path / FINAL)

    def keep_final(self, report: dict[str, Any]) -> None:
        """Write the last report down, before it is sent."""
        _write(self.path / FINAL, report)

    def remove(self) -> None:
        """Remove all of it, then release it."""
        # First what makes it a job: half removed, it must not look like one that was never reported.
        (self.path / JOB).unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()

    def release(self) -> None:
        """Leave it to the next pilot."""
        os.close(self._lock)


def create(parent: Path, name: str, job: dict[str, Any]) -> JobDirectory:
    """A new directory for a job; one of the same name, of another PanDA's job, is replaced.

    Raises:
        OSError: it cannot be made.
    """
    path = parent / name
    with _alone(parent):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        lock = _locked(path)
    if lock is None:
        raise BlockingIOError(f"{path} is locked by another process")
    directory = JobDirectory(path, lock)
    directory.work.mkdir()
    _write(path / JOB, job)
    return directory


def leftovers(parent: Path) -> list[JobDirectory]:
    """The directories whose pilots are dead, from now on this process's; oldest job first."""
    if not parent.exists():
        return []
    with _alone(parent):
        paths = sorted(
            (path for path in parent.iterdir() if path.name.isdigit()), key=lambda path: int(path.name)
        )
        return [JobDirectory(path, lock) for path in paths if (lock := _locked(path)) is not None]


@contextmanager
def _alone(parent: Path) -> Iterator[None]:
    """Directories are made and looked for by one process at a time, so that nobody sees one without its lock."""
    parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(parent / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _locked(path: Path) -> int | None:
    """The descriptor that holds the lock; None when somebody else does, or the directory is just being removed."""
    try:
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _write(path: Path, content: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content))
    part.replace(path)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return content
