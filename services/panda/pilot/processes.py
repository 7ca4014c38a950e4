"""Processes that must not outlive the one they work for."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def mortal(parent: int, then: Callable[[], None] | None = None) -> Callable[[], None]:
    """What a child does before it becomes its program: from now on it is killed when `parent` dies, however that dies.

    For `preexec_fn`; the parent must have one thread.

    Args:
        parent: the process id of the caller.
        then: what else the child does.
    """

    def prepare() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
        if then is not None:
            then()

    return prepare


def kill_marked(mark: str) -> None:
    """Kill every process that has inherited `mark`, a NAME=value, in its environment, wherever it has gone."""
    wanted = mark.encode()
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        try:
            if wanted in (directory / "environ").read_bytes().split(b"\0"):
                os.kill(int(directory.name), signal.SIGKILL)
        except OSError:  # it has ended, or is another user's
            continue
