"""All writes of agents' own tables: heartbeats, inbound messages, dead letters, incidents."""

from .dead_letters import discard, finish_replay, request_replay
from .heartbeat import agent_exited, beat
from .inbox import MAX_ATTEMPTS, Attempt, begin, begin_fresh, finish, note_failure, park, parked_reason
from .incidents import Trouble, acknowledge, clear, open_incidents

__all__ = [
    "MAX_ATTEMPTS",
    "Attempt",
    "Trouble",
    "acknowledge",
    "agent_exited",
    "beat",
    "begin",
    "begin_fresh",
    "clear",
    "discard",
    "finish",
    "finish_replay",
    "note_failure",
    "open_incidents",
    "park",
    "parked_reason",
    "request_replay",
]
