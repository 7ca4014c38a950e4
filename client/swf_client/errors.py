"""What can go wrong between an agent and its testbed."""

from __future__ import annotations

from typing import Any


class ClientError(Exception):
    """All errors of this package; the text says what to do."""


class SettingMissing(ClientError):
    """The environment does not say what is needed."""


class StateInUse(ClientError):
    """Another process runs with this state file, and so under this name."""


class Refused(ClientError):
    """The testbed will not do it, however often it is asked.

    `status` is the HTTP status, 0 where there is none; `errors` are the reasons by field, as far as it names fields.
    """

    def __init__(self, detail: str, *, status: int = 0, errors: dict[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.errors = errors or {}


class Away(ClientError):
    """The testbed does not answer at the moment, or asks to come back; after `retry_after` seconds if it says so."""

    def __init__(self, detail: str, *, retry_after: float = 0.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
