"""Processes of the testbed that outlived their supervisor, which was killed: found by an inherited mark."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

# In the environment of everything that supervisor starts. SWF_HOME would match a user's own shells too.
MARK = "SWF_SUPERVISED"
POLL_SECONDS = 0.05


def marked(home: Path) -> dict[int, str]:
    """Process id -> command line of every live process that a supervisor of this home has started (or is)."""
    mark = os.fsencode(f"{MARK}={home}")
    found = {}
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                if mark in (directory / "environ").read_bytes().split(b"\0"):
                    command = (directory / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(directory.name)] = command.decode(errors="replace").strip()
            except OSError:
                continue  # it has ended, or is another user's
    return found


def end(home: Path, seconds: float = 20.0) -> dict[int, str]:
    """Ask every marked process to end, kill what has not after `seconds`; returns those that were there."""
    found = marked(home)
    _signal(found, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while left := marked(home):
        if time.monotonic() > deadline:
            _signal(left, signal.SIGKILL)
            deadline += seconds
        time.sleep(POLL_SECONDS)
    return found


def _signal(pids: dict[int, str], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
