"""All writes of agents' own tables: heartbeats, inbound messages, dead letters."""

from .dead_letters import discard, finish_replay, request_replay
from .heartbeat import agent_exited, beat
from .inbox import MAX_ATTEMPTS, Attempt, begin, begin_fresh, finish, note_failure, park, parked_reason

__all__ = [
    "MAX_ATTEMPTS",
    "Attempt",
    "agent_exited",
    "beat",
    "begin",
    "begin_fresh",
    "discard",
    "finish",
    "finish_replay",
    "note_failure",
    "park",
    "parked_reason",
    "request_replay",
]
