"""What processes cost."""

from __future__ import annotations

import os
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """CPU time that a process and its children have used so far, those that have ended not counted."""
    return sum(_own(one) for one in [pid, *_children(pid)])


def web_processes(pid: int) -> int:
    """How many serve: the children of the web process, or itself."""
    return len(_children(pid)) or 1


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _own(pid: int) -> float:
    # Its name, in parentheses, may have spaces.
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
