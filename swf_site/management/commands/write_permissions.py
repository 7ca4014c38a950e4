"""`manage.py write_permissions`: the table of who may do what, into its document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from swf_site.matrix import table

# Where the table begins, which is the end of the document. What is before it is left as it is.
_BEGINNING = "| address |"


class Command(BaseCommand):
    help = "Write the table of every address and every role into docs/permissions.md."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--file", type=Path, default=settings.BASE_DIR / "docs" / "permissions.md")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        before, _, _ = path.read_text().partition(_BEGINNING)
        path.write_text(before + table())
        self.stdout.write(f"{path}")
