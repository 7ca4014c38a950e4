"""Exchange and queues of the bus: one topic, one durable queue per agent, bound to the messages it handles."""

from __future__ import annotations

from kombu import Exchange, Queue, binding

from .agent import AgentSpec

EPICTOPIC = Exchange("epictopic", type="topic", durable=True)
RECEIVE_TASK = "agents.receive"


def queue_of(agent: AgentSpec) -> Queue:
    """The agent's queue with its bindings."""
    return Queue(
        agent.queue_name,
        bindings=[binding(EPICTOPIC, routing_key=msg_type) for msg_type in agent.msg_types],
        durable=True,
    )
