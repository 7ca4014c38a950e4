"""What each pilot does, in a small file per slot, for whoever asks whether the pilots work."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path


class Status:
    """The files of one slot: `<home>/pilots/<queue>/slot-<n>.json`, and a lock that its pilot holds as long as it lives."""

    def __init__(self, parent: Path, slot: int) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        self._path = _said(parent, slot)
        self._lock = os.open(_lock(parent, slot), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # A killed predecessor may still be about to die.
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def say(self, job: int | None, waits_for: str | None) -> None:
        """Write down the job in hand and the reason for which the pilot waits."""
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps({"pid": os.getpid(), "job": job, "waits_for": waits_for}))
        part.replace(self._path)


def why_not_ready(parent: Path, slot: int) -> str | None:
    """None when the pilot of this slot lives and does not wait for anything, else the reason in one line."""
    name = f"pilot {parent.name}/{slot}"
    try:
        if not _is_held(_lock(parent, slot)):
            return f"{name} does not run"
        waits_for = json.loads(_said(parent, slot).read_text())["waits_for"]
    except (OSError, ValueError, KeyError):
        return f"{name} has not started yet"
    return f"{name} waits: {waits_for}" if waits_for else None


def _said(parent: Path, slot: int) -> Path:
    return parent / f"slot-{slot}.json"


def _lock(parent: Path, slot: int) -> Path:
    return parent / f"slot-{slot}.lock"


def _is_held(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
