"""`manage.py control_run`: pause, resume, stop, abort or force the close of a run."""

from __future__ import annotations

import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.runs import services as runs
from apps.runs.errors import DomainError
from apps.runs.selectors import get_run
from apps.stf import services as stf_services


class Command(BaseCommand):
    help = (
        "Tell the DAQ what to do with a run: pause, resume, stop (it ends and closes properly) or abort (it ends at "
        "once, what was taken is made safe, it settles as aborted). `retry` tries failed registrations and copies "
        "again now, once their cause is mended. `close` forces the close of a run that is incomplete: it needs "
        "--reason, which the proof then shows."
    )
    requires_system_checks = ()  # `prepare_database` makes them at every start; they load all pages and REST

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", type=int, metavar="RUN", help="the run number")
        parser.add_argument("action", choices=["pause", "resume", "stop", "abort", "retry", "close"])
        parser.add_argument("--reason", default="")
        parser.add_argument("--by", default=getpass.getuser(), help="who decides; by default you")

    def handle(self, *args: Any, **options: Any) -> None:
        number, action, by, reason = (options[key] for key in ("run", "action", "by", "reason"))
        try:
            if action == "retry":
                tried = stf_services.retry_failed(get_run(number), by=by)
                self.stdout.write(f"run {number}: {tried} failed registrations and copies are tried again")
            elif action == "close":
                stf_services.force_close(number, by=by, reason=reason)
                self.stdout.write(f"run {number} is closed by {by}: {reason}")
            else:
                runs.control_run(number, action, by=by, reason=reason)
                self.stdout.write(f"run {number}: {action} is on its way to the DAQ")
        except DomainError as error:
            raise CommandError(str(error)) from error
