"""What each pilot does, in a small file per slot, for whoever asks whether the pilots work."""

from __future__ import annotations

import json
import os
from pathlib import Path


class Status:
    """The file of one slot, `<home>/pilots/<queue>/slot-<n>.json`, written by its pilot."""

    def __init__(self, parent: Path, slot: int) -> None:
        self._path = path_of(parent, slot)
        self._path.parent.mkdir(parents=True, exist_ok=True)

    def say(self, job: int | None, waits_for: str | None) -> None:
        """Write down the job in hand and the reason for which the pilot waits."""
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps({"pid": os.getpid(), "job": job, "waits_for": waits_for}))
        part.replace(self._path)


def path_of(parent: Path, slot: int) -> Path:
    """The file of a slot."""
    return parent / f"slot-{slot}.json"


def why_not_ready(parent: Path, slot: int) -> str | None:
    """None when the pilot of this slot lives and does not wait for anything, else the reason in one line."""
    name = f"pilot {parent.name}/{slot}"
    try:
        said = json.loads(path_of(parent, slot).read_text())
        os.kill(said["pid"], 0)
    except FileNotFoundError:
        return f"{name} has not started yet"
    except (ProcessLookupError, ValueError, KeyError):
        return f"{name} does not run"
    return f"{name} waits: {said['waits_for']}" if said["waits_for"] else None
