"""What an agent keeps over its restarts: a small file, and a lock on it while the agent runs."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from .errors import StateInUse


class State:
    """Values by name, as JSON. A context manager, which one process at a time can be in.

    Each change is on its way to the disk as a whole before the call returns: a process that is killed leaves the old
    file or the new one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._values: dict[str, Any] = {}
        self._lock = -1

    def __enter__(self) -> State:
        """
        Raises:
            StateInUse: another process has it.
            OSError: the file cannot be made.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = self.path.with_name(f"{self.path.name}.lock")
        self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise StateInUse(
                f"an agent runs already with {self.path}: give this one another state_file (SWF_AGENT_STATE)"
            ) from error
        self._values = self._read()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def get(self, name: str) -> Any:
        """The value; None if there is none."""
        return self._values.get(name)

    def put(self, name: str, value: Any) -> None:
        """Keep a value."""
        self._values[name] = value
        draft = self.path.with_name(f"{self.path.name}.new")
        draft.write_text(json.dumps(self._values))
        draft.replace(self.path)

    def _read(self) -> dict[str, Any]:
        try:
            values = json.loads(self.path.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}
