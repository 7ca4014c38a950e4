"""Exchange and queues of the bus: one topic, one durable queue per agent, bound to the messages it handles."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from celery import Celery
from django.conf import settings
from kombu import Exchange, Queue, binding

from .agent import AgentSpec

EPICTOPIC = Exchange("epictopic", type="topic", durable=True)
RECEIVE_TASK = "agents.receive"
# On ActiveMQ, what messages can be selected by without being read.
SELECTABLE = ("msg_type", "namespace", "run_id")


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


def use_plain_messages(app: Celery, *agents: AgentSpec) -> None:
    """On ActiveMQ, have the topic carry plain JSON, as for all systems on it; other brokers carry it as it is."""
    if str(app.conf.broker_url).startswith("stomp"):
        app.conf.broker_transport_options = {**app.conf.broker_transport_options, **_plain_messages(agents)}


def _plain_messages(agents: Iterable[AgentSpec]) -> dict[str, Any]:
    """The options of the transport for it.

    What the relay publishes goes out as the message alone, for any subscriber of the topic; and what anybody publishes
    there becomes an agent's task, if it handles that type. Each agent's copies are kept in `Agent.<queue>.epictopic`, a
    queue that ActiveMQ fills by its virtual topic of that name.
    """
    return {
        "foreign_exchanges": {
            EPICTOPIC.name: {"destination": f"/topic/{EPICTOPIC.name}", "headers": SELECTABLE}
        },
        "foreign": {
            queue_name(agent): {
                "task": RECEIVE_TASK,
                "destination": f"/queue/Agent.{queue_name(agent)}.{EPICTOPIC.name}",
                "only": {"msg_type": agent.msg_types},
            }
            for agent in agents
        },
        "poison_task": RECEIVE_TASK,
    }
