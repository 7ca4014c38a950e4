"""`manage.py processing`: look at processing, hold it, and say where and what is processed."""

from __future__ import annotations

import getpass
import json
from typing import IO, Any, cast

from django.core.management.base import CommandError, CommandParser
from django.db import Error as DatabaseError
from rich.console import Console

from apps.runs.errors import DomainError, NotFound
from apps.runs.management.help import DescribedCommand
from apps.runs.selectors import get_run
from apps.stf import selectors, services
from apps.stf.choices import Policy, TaskCommand

from ..processing import Status, status_view
from .dead_letters import PIPE_WIDTH

LISTED = 40
HELP = """Processing of STFs by PanDA: what state it is in, and the switches for it.

  processing status                             what is held, sites, tasks, failures
  processing status --run 100012 --json
  processing brake on --reason "wrong payload"  hold all runs; running jobs may end
  processing brake on --run 100012 --cancel --reason "bad calibration"
  processing brake off --run 100012 --reason "calibration is right now"
  processing site down E1_JLAB --reason "cooling"
  processing site up E1_JLAB --reason "cold again"
  processing policy 100012 hash --sites E1_BNL E1_JLAB
  processing policy 100012 explicit --rules E1_BNL:1-50 E1_JLAB:51-100
  processing task retry 7                       the id is that of the status

Agents follow within a second or so. A policy holds for the STFs that are registered
from then on. Retry and reload wait until PanDA has ended the task.
"""


class Command(DescribedCommand):
    help = HELP
    requires_system_checks = ()  # `prepare_database` makes them at every start; they load all pages and REST

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(
            title="actions", required=True, metavar="{status,brake,site,policy,task}"
        )

        status = actions.add_parser("status", help="show what is held, sites, tasks and failures")
        status.add_argument("--run", type=int, metavar="RUN", help="only tasks and failures of this run")
        status.add_argument("--json", action="store_true", help="print one JSON object")
        status.set_defaults(act=self._status)

        brake = actions.add_parser("brake", help="hold processing, or let it go on")
        brake.add_argument("switch", choices=["on", "off"])
        brake.add_argument("--run", type=int, metavar="RUN", help="of this run; by default of all runs")
        brake.add_argument("--cancel", action="store_true", help="with on: kill running jobs too")
        _add_reason(brake, required=True)
        brake.set_defaults(act=self._brake)

        site = actions.add_parser("site", help="mark a site down or up")
        site.add_argument("state", choices=["down", "up"])
        site.add_argument("name", metavar="NAME", help="such as E1_BNL")
        _add_reason(site, required=True)
        site.set_defaults(act=self._site)

        policy = actions.add_parser("policy", help="say where a run's STFs are processed from now on")
        policy.add_argument("run", type=int, metavar="RUN")
        policy.add_argument("policy", choices=Policy.values)
        policy.add_argument(
            "--sites", nargs="+", metavar="NAME", help="in the order in which they take turns"
        )
        policy.add_argument(
            "--rules", nargs="+", default=[], metavar="SITE:A-B", help="of the policy explicit"
        )
        _add_by(policy)
        policy.set_defaults(act=self._policy)

        task = actions.add_parser("task", help="tell PanDA what to do with a task")
        task.add_argument("command", choices=TaskCommand.values)
        task.add_argument("id", type=int, metavar="ID", help="as status shows it")
        _add_reason(task, required=False)
        task.set_defaults(act=self._task)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            options["act"](options)
        except DomainError as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            reason, *_ = str(error).splitlines() or [type(error).__name__]
            raise CommandError(f"the database does not answer: {reason}") from error

    def _status(self, options: dict[str, Any]) -> None:
        run = None if options["run"] is None else get_run(options["run"])
        status = Status(run, limit=LISTED)
        if options["json"]:
            self.stdout.write(json.dumps(status.as_object()))
            return
        # A pipe has no width of its own.
        width = None if self.stdout.isatty() else PIPE_WIDTH
        Console(file=cast("IO[str]", self.stdout), width=width, highlight=False).print(status_view(status))

    def _brake(self, options: dict[str, Any]) -> None:
        run, by, reason = options["run"], options["by"], options["reason"]
        where = "all runs" if run is None else f"run {run}"
        if options["switch"] == "off":
            if options["cancel"]:
                raise CommandError("--cancel goes with brake on: jobs that are killed do not come back by it")
            services.brake_off(run, by=by, reason=reason)
            self.stdout.write(f"the brake of {where} is off: {reason}")
            if still := selectors.brakes_on():
                self.stdout.write(
                    f"still on: {', '.join(str(brake).removesuffix(': on') for brake in still)}"
                )
            return
        brake = services.brake_on(run, by=by, reason=reason, cancel=options["cancel"])
        jobs = "running jobs are killed" if brake.cancel else "running jobs may end"
        self.stdout.write(f"the brake of {where} is on, {jobs}: {brake.reason} ({brake.by})")

    def _site(self, options: dict[str, Any]) -> None:
        act = services.site_down if options["state"] == "down" else services.site_up
        site = act(options["name"], by=options["by"], reason=options["reason"])
        said = f"down: {site.down_reason} ({site.changed_by})" if site.is_down else "up"
        self.stdout.write(f"{site.name} is {said}")

    def _policy(self, options: dict[str, Any]) -> None:
        box = services.set_policy(
            options["run"],
            options["policy"],
            by=options["by"],
            sites=options["sites"],
            rules=options["rules"],
        )
        at = "" if box.policy == Policy.NONE else f" ({', '.join(box.rules or box.sites)})"
        self.stdout.write(
            f"run {options['run']}: policy {box.policy}{at}, for the STFs that are registered from now on"
        )

    def _task(self, options: dict[str, Any]) -> None:
        task = selectors.task_list().filter(pk=options["id"]).first()
        if task is None:
            raise NotFound(
                f"there is no task with the id {options['id']}: `processing status` shows those there are"
            )
        services.request_command(
            task.run.run_number,
            task.site,
            TaskCommand(options["command"]),
            by=options["by"],
            reason=options["reason"],
        )
        self.stdout.write(f"{task}: {options['command']} is on its way to PanDA")


def _add_by(parser: CommandParser) -> None:
    parser.add_argument("--by", default=getpass.getuser(), help="who decides; by default you")


def _add_reason(parser: CommandParser, *, required: bool) -> None:
    said = "why; everybody is shown it" if required else "why"
    parser.add_argument("--reason", required=required, default="", help=said)
    _add_by(parser)
