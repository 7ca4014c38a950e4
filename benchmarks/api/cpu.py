"""What processes cost."""

from __future__ import annotations

import os
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """CPU time that a process and its children have used so far, those that have ended not counted."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(_own(one) for one in [pid, *map(int, children)])


def _own(pid: int) -> float:
    # Its name, in parentheses, may have spaces.
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
