"""Where commands work: a directory of each worker below the state directory. What killed workers leave is removed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def scratch_directory(root: Path) -> Iterator[Path]:
    """A new directory below `root`, this process's until it leaves. Directories there that no living process has are
    removed first.

    A lock tells who lives: the system releases it with the process, whatever has ended that.

    Raises:
        OSError: the directory cannot be made.
    """
    root.mkdir(parents=True, exist_ok=True)
    # Between making a directory and locking it, nobody else may look.
    with _locked(root):
        for left in root.iterdir():
            _remove_if_left(left)
        own = Path(tempfile.mkdtemp(prefix="worker-", dir=root))
        lock = os.open(own, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        os.close(lock)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    lock = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _remove_if_left(directory: Path) -> None:
    # A worker that leaves just now may be quicker.
    with suppress(FileNotFoundError):
        lock = os.open(directory, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(directory, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)
