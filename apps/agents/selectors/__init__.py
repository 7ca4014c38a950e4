"""Reads of agents' own tables. All return querysets or typed values; nothing here writes."""

from .lists import (
    ERROR,
    ErrorSummary,
    current_incidents,
    get_letter,
    incident_list,
    letter_list,
    log_list,
    log_summary,
    next_replay,
    open_letters,
    replayable_letters,
    subscriber_list,
)

__all__ = [
    "ERROR",
    "ErrorSummary",
    "current_incidents",
    "get_letter",
    "incident_list",
    "letter_list",
    "log_list",
    "log_summary",
    "next_replay",
    "open_letters",
    "replayable_letters",
    "subscriber_list",
]
