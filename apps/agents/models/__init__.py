"""Who acts: the agents, the messages they were given, what went wrong, how far the simulated DAQ has come; and of others
their tokens, logs and subscriptions."""

from .access import ApiToken, LoginMark
from .agents import DaqCheckpoint, InboundMessage, SystemAgent
from .troubles import DeadLetter, Incident
from .visitors import AppLog, Subscriber

__all__ = [
    "ApiToken",
    "AppLog",
    "DaqCheckpoint",
    "DeadLetter",
    "InboundMessage",
    "Incident",
    "LoginMark",
    "Subscriber",
    "SystemAgent",
]
