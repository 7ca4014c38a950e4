"""`manage.py prepare_broker`: exchanges and queues of all agents."""

from __future__ import annotations

from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand
from django.db import transaction

from apps.agents.bus import pgmq
from apps.agents.bus.topology import queues_of, slices_queue, use_plain_messages
from apps.agents.registry import AGENTS, agent_spec


class Command(BaseCommand):
    help = (
        "Declare the exchange and every agent's durable queue on the broker, so that no message is sent before there "
        "is a place for it; on PostgreSQL, install the queue functions first. May be repeated."
    )
    requires_system_checks = ()  # `prepare_database` makes them at every start; they load all pages and REST

    def handle(self, *args: Any, **options: Any) -> None:
        agents = [agent_spec(name) for name in AGENTS]
        use_plain_messages(current_app, *agents)
        with current_app.connection_for_write() as broker:
            if broker.transport_cls == "pgmq":
                with transaction.atomic():
                    pgmq.install()
            for agent in agents:
                for queue in queues_of(current_app, agent):
                    queue(broker.default_channel).declare()
                self.stdout.write(f"queue of {agent.name}: ready")
            slices_queue()(broker.default_channel).declare()
            self.stdout.write("queue of slices: ready")
