"""A job as PanDA hands it out, in the terms of this program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

EMPTY = "NULL"


@dataclass(frozen=True)
class File:
    """A file in the catalogue."""

    scope: str
    lfn: str


@dataclass(frozen=True)
class Job:
    """What a pilot needs to know of a job.

    Attributes:
        parameters: the command line of the transformation, `jobPars`.
        memory_mb, disk_mb, wall_seconds: its limits; 0 is none.
        log: the archive of logs that PanDA wants; None when it wants none.
    """

    panda_id: int
    attempt: int
    task_id: int
    parameters: str
    inputs: tuple[File, ...]
    outputs: tuple[File, ...]
    log: File | None
    cores: int
    memory_mb: int
    disk_mb: int
    wall_seconds: int

    @property
    def files(self) -> tuple[File, ...]:
        """All that it may write into the catalogue."""
        return self.outputs + ((self.log,) if self.log else ())

    @classmethod
    def of(cls, described: dict[str, Any]) -> Job:
        """The job from the dictionary of `acquire_jobs`.

        Raises:
            KeyError: a field is missing.
            ValueError: a number is none.
        """
        log = _words(described, "logFile")
        outputs = _files(described, "outFiles", "scopeOut")
        log_scopes = _words(described, "scopeLog")
        return cls(
            panda_id=int(described["PandaID"]),
            attempt=int(described["attemptNr"]),
            task_id=_number(described, "taskID"),
            parameters=described["jobPars"],
            inputs=_files(described, "inFiles", "scopeIn"),
            outputs=tuple(file for file in outputs if file.lfn not in log),
            log=File(log_scopes[0], log[0]) if log and log_scopes else None,
            cores=_number(described, "coreCount") or 1,
            memory_mb=_number(described, "minRamCount"),
            disk_mb=_number(described, "maxDiskCount"),
            wall_seconds=_number(described, "maxWalltime"),
        )


def _words(described: dict[str, Any], field: str) -> list[str]:
    """A list, which PanDA writes as a text with commas; `NULL` and nothing are the empty one."""
    text = str(described.get(field) or "")
    return [] if text in ("", EMPTY) else text.split(",")


def _files(described: dict[str, Any], names: str, scopes: str) -> tuple[File, ...]:
    """Pairs of name and scope. The log is among the output names but not among their scopes."""
    given = _words(described, scopes)
    return tuple(
        File(given[min(place, len(given) - 1)], lfn)
        for place, lfn in enumerate(_words(described, names))
        if given
    )


def _number(described: dict[str, Any], field: str) -> int:
    value = described.get(field)
    return 0 if value in (None, "", EMPTY) else max(0, int(value))
