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
# On ActiveMQ, the way to any destination: the routing key names it.
ANYWHERE = Exchange("anywhere", type="topic", durable=True)
# Where the existing system puts commands for workflows; testbeds of all namespaces on a broker read it.
CONTROL_QUEUE = "workflow_control"
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


def control_queue_of(namespace: str) -> str:
    """The queue of commands for one namespace, to which those for it are handed on."""
    return f"{CONTROL_QUEUE}.{namespace}"


def queues_of(app: Celery, agent: AgentSpec) -> list[Queue]:
    """All queues that the agent reads: its own, and on ActiveMQ those of commands if it takes them."""
    queues = [queue_of(agent)]
    if agent.takes_commands and is_plain(app):
        names = (CONTROL_QUEUE, control_queue_of(settings.SWF_NAMESPACE))
        queues += [Queue(name, durable=True) for name in names]
    return queues


def is_plain(app: Celery) -> bool:
    """Whether the broker is an ActiveMQ, whose topic carries plain JSON for all systems on it."""
    return str(app.conf.broker_url).startswith("stomp")


def use_plain_messages(app: Celery, *agents: AgentSpec) -> None:
    """On ActiveMQ, have the topic carry plain JSON; other brokers carry it as it is."""
    if is_plain(app):
        app.conf.broker_transport_options = {**app.conf.broker_transport_options, **_plain_messages(agents)}


def _plain_messages(agents: Iterable[AgentSpec]) -> dict[str, Any]:
    """The options of the transport for it.

    What the relay publishes goes out as the message alone, for any subscriber of the topic; and what anybody publishes
    there becomes an agent's task, if it handles that type. Each agent's copies are kept in `Agent.<queue>.epictopic`, a
    queue that ActiveMQ fills by its virtual topic of that name.
    """
    return {
        "foreign_exchanges": {
            EPICTOPIC.name: {"destination": f"/topic/{EPICTOPIC.name}", "headers": SELECTABLE},
            ANYWHERE.name: {"destination": "{routing_key}", "headers": SELECTABLE},
        },
        "foreign": {
            **{
                queue_name(agent): {
                    "task": RECEIVE_TASK,
                    "destination": f"/queue/Agent.{queue_name(agent)}.{EPICTOPIC.name}",
                    "only": {"msg_type": agent.msg_types},
                }
                for agent in agents
            },
            **{
                queue: {"task": RECEIVE_TASK}
                for queue in (CONTROL_QUEUE, control_queue_of(settings.SWF_NAMESPACE))
            },
        },
        "poison_task": RECEIVE_TASK,
    }
