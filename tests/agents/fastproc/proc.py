"""Processes that are no children of the tests."""

from __future__ import annotations

from pathlib import Path


def runs(pid: int) -> bool:
    """Whether the process is there and has not ended."""
    try:
        return ") Z " not in Path("/proc", str(pid), "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
