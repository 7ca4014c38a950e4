"""`manage.py agent NAME`: one agent in the foreground."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.agents.bus.worker import run_worker
from apps.agents.registry import AGENTS, agent_spec


class Command(BaseCommand):
    help = (
        "Run an agent: a Celery worker on the agent's own queue, with the agent's loops beside it. "
        "SIGTERM ends it gracefully; SIGKILL loses nothing, its work is found again in the database."
    )
    requires_system_checks = ()  # `prepare_database` makes them at every start; they load all pages and REST

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", choices=AGENTS)
        parser.add_argument("--log-level", default="INFO")

    def handle(self, *args: Any, **options: Any) -> None:
        run_worker(agent_spec(options["name"]), log_level=options["log_level"])
