"""All writes of agents' own tables: heartbeats, inbound messages, dead letters, incidents, tokens, logs, subscribers."""

from .dead_letters import discard, finish_replay, request_replay
from .guesses import (
    TooManyGuesses,
    check_password_guess,
    note_right_password,
    note_unknown_token,
    note_wrong_password,
)
from .heartbeat import agent_exited, beat
from .inbox import (
    MAX_ATTEMPTS,
    Attempt,
    begin,
    finish,
    forget,
    note_failure,
    note_handled,
    park,
    parked_reason,
)
from .incidents import Trouble, acknowledge, clear, open_incidents
from .logs import prune_logs, record_logs
from .tokens import (
    IssuedToken,
    TokenRefused,
    TokenUnknown,
    authenticate_token,
    issue_token,
    revoke_tokens,
)
from .visitors import VisitorBeat, subscribe, visitor_beat

__all__ = [
    "MAX_ATTEMPTS",
    "Attempt",
    "IssuedToken",
    "TokenRefused",
    "TokenUnknown",
    "TooManyGuesses",
    "Trouble",
    "VisitorBeat",
    "acknowledge",
    "agent_exited",
    "authenticate_token",
    "beat",
    "begin",
    "check_password_guess",
    "clear",
    "discard",
    "finish",
    "finish_replay",
    "forget",
    "issue_token",
    "note_failure",
    "note_handled",
    "note_right_password",
    "note_unknown_token",
    "note_wrong_password",
    "open_incidents",
    "park",
    "parked_reason",
    "prune_logs",
    "record_logs",
    "request_replay",
    "revoke_tokens",
    "subscribe",
    "visitor_beat",
]
