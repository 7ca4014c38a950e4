"""States of agents and of the messages they were given; what a token is good for."""

from __future__ import annotations

from django.db import models


class OperationalState(models.TextChoices):
    """Owner: the agent itself; `silent` is for others to say."""

    STARTING = "STARTING", "Starting"
    READY = "READY", "Ready"
    PROCESSING = "PROCESSING", "Processing"
    SILENT = "SILENT", "Silent"
    EXITED = "EXITED", "Exited"


class AgentStatus(models.TextChoices):
    OK = "OK", "OK"
    WARNING = "WARNING", "Waiting"
    ERROR = "ERROR", "Error"
    UNKNOWN = "UNKNOWN", "Unknown"
    EXITED = "EXITED", "Exited"


class AgentPastState(models.TextChoices):
    """What an agent was, as the journal has it."""

    UP = "up", "Up"
    WAITING = "waiting", "Waiting"
    EXITED = "exited", "Exited"


class MessageOutcome(models.TextChoices):
    """What became of a message in the hands of one agent."""

    RECEIVED = "received", "Received"
    DONE = "done", "Done"
    IGNORED = "ignored", "Ignored"
    PARKED = "parked", "Parked"


class LetterState(models.TextChoices):
    """What became of a message that was parked. Owner: `apps.agents.services`."""

    OPEN = "open", "Open"
    REQUESTED = "requested", "Replay requested"
    REPLAYED = "replayed", "Replayed"
    DISCARDED = "discarded", "Discarded"


class IncidentKind(models.TextChoices):
    """What has gone wrong."""

    CORRUPT_TF = "corrupt_tf", "Corrupt time frame"
    GUESSING = "guessing", "Many wrong passwords or tokens"


class IncidentState(models.TextChoices):
    """Owner: `apps.agents.services`."""

    OPEN = "open", "Open"
    ACKNOWLEDGED = "acknowledged", "Acknowledged"
    CLEARED = "cleared", "Cleared"


class TokenScope(models.TextChoices):
    """What the holder of a token may do, as far as its user may: look, or change something. Neither includes the other."""

    READ = "read", "Read"
    WRITE = "write", "Write"


class DaqPhase(models.TextChoices):
    """Where the simulated DAQ is in the script of a run."""

    REQUESTED = "requested", "Requested"
    NO_BEAM = "no_beam", "No beam"
    IMMINENT = "imminent", "Run imminent"
    READY = "ready", "Ready"
    PHYSICS = "physics", "Physics"
    STANDBY = "standby", "Standby"
    HELD = "held", "Held by the operator"
    ENDING = "ending", "Ending"
    DONE = "done", "Done"


class DaqCommand(models.TextChoices):
    """What an operator wants of a run; the DAQ obeys at the next STF."""

    NONE = "", "None"
    PAUSE = "pause", "Pause"
    STOP = "stop", "Stop"
    ABORT = "abort", "Abort"


class Delivery(models.TextChoices):
    """How a subscriber is sent its messages."""

    ACTIVEMQ = "activemq", "ActiveMQ"
    SSE = "sse", "Server-sent events"
