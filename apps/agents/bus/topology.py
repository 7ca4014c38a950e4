"""Exchange and queues of the bus: one topic, one durable queue per agent, bound to the messages it handles."""

from __future__ import annotations

import re

from django.conf import settings
from kombu import Exchange, Queue, binding

from .agent import AgentSpec

EPICTOPIC = Exchange("epictopic", type="topic", durable=True)
RECEIVE_TASK = "agents.receive"


def queue_name(agent: AgentSpec) -> str:
    """Name of the agent's own durable queue; the namespace keeps testbeds that share a broker apart."""
    return f"{re.sub('[^A-Za-z0-9]+', '_', settings.SWF_NAMESPACE)}_{agent.name}"


def queue_of(agent: AgentSpec) -> Queue:
    """The agent's queue with its bindings."""
    return Queue(
        queue_name(agent),
        bindings=[binding(EPICTOPIC, routing_key=msg_type) for msg_type in agent.msg_types],
        durable=True,
    )
