"""`manage.py write_schemas`: the documents of the bus, from its models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from apps.agents.bus.document import documents
from apps.agents.registry import AGENTS, agent_spec


class Command(BaseCommand):
    help = "Write JSON Schemas and the AsyncAPI document of all messages into docs/messages/."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--directory", type=Path, default=settings.BASE_DIR / "docs" / "messages")

    def handle(self, *args: Any, **options: Any) -> None:
        directory: Path = options["directory"]
        directory.mkdir(parents=True, exist_ok=True)
        written = set()
        for name, text in documents([agent_spec(agent) for agent in AGENTS]):
            (directory / name).write_text(text)
            written.add(name)
        for stale in {path.name for path in directory.iterdir()} - written:
            (directory / stale).unlink()
        self.stdout.write(f"{len(written)} documents in {directory}")
