"""`manage.py prune_logs`: delete old records of logs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from ...services import prune_logs


class Command(BaseCommand):
    help = "Delete records of logs that are older than so many days"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=float, default=30, help="below ERROR; default 30")
        parser.add_argument("--error-days", type=float, default=90, help="from ERROR on; default 90")

    def handle(self, *, days: float, error_days: float, **options: Any) -> None:
        if days < 0 or error_days < 0:
            raise CommandError("--days and --error-days are 0 or more")
        now = timezone.now()
        count = prune_logs(before=now - timedelta(days=days), errors_before=now - timedelta(days=error_days))
        self.stdout.write(f"{count} records deleted")
