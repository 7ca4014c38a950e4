"""Errors of the domain. Every text names the field and the value, and says what is possible instead."""

from __future__ import annotations


class DomainError(Exception):
    """Something that was asked cannot be done; the text says what, why, and what can."""


class NotFound(DomainError):
    """A run, STF or other thing that was named does not exist."""


class TransitionRefused(DomainError):
    """A state cannot be left for the one that was asked."""


class FieldRefused(DomainError):
    """What is there already does not allow the value of this field of a request."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


class BelongsToAnother(DomainError):
    """What was to be changed is somebody else's."""


class RetryableError(Exception):
    """Something outside is away or busy: the same work will succeed later. The text is the reason shown to people."""
