"""How a job can end before its time, and the numbers by which PanDA's pilots say why."""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """`pilot_error_code`, as PanDA's own pilot uses them."""

    STAGE_IN = 1099
    TOO_MUCH_WRITTEN = 1104
    SETUP = 1110
    STAGE_OUT = 1137
    KILLED = 1144
    MISSING_OUTPUT = 1165
    LOST = 1200
    ENDED = 1201
    OUT_OF_MEMORY = 1212
    TIME = 1213
    SANDBOX = 1246
    OWN = 1301


class JobFailed(Exception):
    """The job failed; PanDA is told so and decides whether it is tried again.

    Args:
        diag: why, for a person.
        code: the pilot's error, None when the payload itself failed.
        status: exit status of the payload, where there was one.
    """

    def __init__(self, diag: str, code: Code | None = None, status: int = 0) -> None:
        super().__init__(diag)
        self.diag = diag
        self.code = code
        self.status = status


class JobKilled(Exception):
    """PanDA wants the job stopped: nothing of it shall remain."""


class Away(Exception):
    """PanDA or Rucio does not answer, or not yet as it should; the text says what, and again later is right."""


class Stopped(Exception):
    """The pilot is to end."""
