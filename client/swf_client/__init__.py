"""A client of the SWF testbed for agents on other machines. Standard library only; stomp.py where a broker is used."""

from .agent import Agent
from .broker import Broker
from .errors import Away, ClientError, Refused, SettingMissing, StateInUse
from .heartbeat import Heartbeat
from .logs import LogHandler
from .rest import Rest
from .stream import Event, events

__all__ = [
    "Agent",
    "Away",
    "Broker",
    "ClientError",
    "Event",
    "Heartbeat",
    "LogHandler",
    "Refused",
    "Rest",
    "SettingMissing",
    "StateInUse",
    "events",
]
