"""Exchange and queues of the bus: one topic, one durable queue per agent, bound to the messages it handles."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from celery import Celery
from django.conf import settings
from kombu import Exchange, Queue, binding

from apps.runs.served import served_namespaces

from .agent import AgentSpec

EPICTOPIC = Exchange("epictopic", type="topic", durable=True)
RECEIVE_TASK = "agents.receive"
# On ActiveMQ, the way to any destination: the routing key names it.
ANYWHERE = Exchange("anywhere", type="topic", durable=True)
# Where the existing system puts commands for workflows; testbeds of all namespaces on a broker read it.
CONTROL_QUEUE = "workflow_control"
# On ActiveMQ, what messages can be selected by without being read.
SELECTABLE = ("msg_type", "namespace", "run_id")
# On ActiveMQ, the way to the queue of slices, which the transformers of the existing system read too.
SLICES = Exchange("slices", type="topic", durable=True)
SLICES_DESTINATION = "/queue/panda.slices.transformer"
# Where a broker that knows the existing system keeps for us what transformers say on /topic/panda.results.
RESULTS_QUEUE = "panda.results.fastprocessing"
TRANSFORMERS_TOPIC = "/topic/panda.transformer"
# On ActiveMQ, where else those look for a message who do not read the topic of all.
ALSO_TO: Mapping[str, str] = {
    "run_imminent_worker": "/topic/panda.workers",
    "end_run": "/topic/panda.workers",
    "stop_transformer": TRANSFORMERS_TOPIC,
}
# How long RabbitMQ keeps the queue of a worker that is gone.
_ORPHAN_SECONDS = 60


def queue_name(agent: AgentSpec) -> str:
    """Name of the agent's own durable queue; the namespace keeps testbeds that share a broker apart."""
    return _queue_name(agent.name)


def _queue_name(part: str) -> str:
    return f"{re.sub('[^A-Za-z0-9]+', '_', settings.SWF_NAMESPACE)}_{part}"


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


def _control_queues() -> list[str]:
    return [CONTROL_QUEUE, *map(control_queue_of, served_namespaces())]


def queues_of(app: Celery, agent: AgentSpec) -> list[Queue]:
    """All queues that the agent reads: its own, and on ActiveMQ those of commands and of results if it takes them."""
    names: list[str] = []
    if is_plain(app):
        names += _control_queues() * agent.takes_commands
        names += [RESULTS_QUEUE] * agent.takes_results
    return [queue_of(agent), *(Queue(name, durable=True) for name in names)]


def slices_queue() -> Queue:
    """The one queue from which all workers of the namespace take slices."""
    return Queue(_queue_name("slices"), durable=True)


def worker_queue(worker_id: str) -> Queue:
    """Where a worker hears that it is to stop. It is gone with its worker, but on PostgreSQL: `slices.forget_worker`."""
    return Queue(
        _queue_name(f"worker_{uuid5(NAMESPACE_OID, worker_id).hex[:12]}"),
        bindings=[binding(EPICTOPIC, routing_key="stop_transformer")],
        durable=True,
        auto_delete=True,
        expires=_ORPHAN_SECONDS,
    )


def is_plain(app: Celery) -> bool:
    """Whether the broker is an ActiveMQ, whose topic carries plain JSON for all systems on it."""
    return str(app.conf.broker_url).startswith("stomp")


def use_plain_messages(app: Celery, *agents: AgentSpec, worker_id: str = "") -> None:
    """On ActiveMQ, have the topic carry plain JSON; other brokers carry it as it is."""
    if is_plain(app):
        options = _plain_messages(agents)
        if worker_id:
            options["foreign"] |= _feeds_of_worker(worker_id)
        app.conf.broker_transport_options = {**app.conf.broker_transport_options, **options}


def _feeds_of_worker(worker_id: str) -> dict[str, Any]:
    """Slices, and the call to stop, which the existing system makes on a topic of its own."""
    return {
        slices_queue().name: {
            "task": RECEIVE_TASK,
            "destination": SLICES_DESTINATION,
            "selector": _of_our_namespaces(),
            "only": {"msg_type": ["slice"]},
        },
        worker_queue(worker_id).name: {
            "task": RECEIVE_TASK,
            "destination": TRANSFORMERS_TOPIC,
            "selector": _of_our_namespaces(),
            "only": {"msg_type": ["stop_transformer"]},
        },
    }


def _of_our_namespaces() -> str:
    quoted = ("'{}'".format(name.replace("'", "''")) for name in served_namespaces())
    return f"namespace IN ({', '.join(quoted)})"


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
            SLICES.name: {
                "destination": SLICES_DESTINATION,
                "headers": SELECTABLE,
                "fixed": {"vo": "eic"},
            },
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
            **{queue: {"task": RECEIVE_TASK} for queue in _control_queues()},
            RESULTS_QUEUE: {
                "task": RECEIVE_TASK,
                "selector": _of_our_namespaces(),
                "only": {"msg_type": ["slice_result", "worker_heartbeat", "heartbeat"]},
            },
        },
        "poison_task": RECEIVE_TASK,
    }
