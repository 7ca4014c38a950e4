"""`manage.py start_run`: request a run in the running system, and follow it if asked."""

from __future__ import annotations

import getpass
import tomllib
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from apps.agents.daqsim.request import request_run
from apps.runs.errors import DomainError
from apps.runs.management.help import DescribedCommand
from apps.runs.workflow import WorkflowError, load_workflow

from ..follow import follow_run

EXAMPLES = """Start a run. With --follow, show its progress until it is closed, and a summary.
Examples:  start_run --follow
           start_run --workflow workflows/fast.toml --stf-count 300 --stf-size 200000
           start_run --from-dir /data/root --follow
           start_run --set buffer.release_policy='"keep"' --set closeout.hole_wait_seconds=5"""


class Command(DescribedCommand):
    help = EXAMPLES
    requires_system_checks = ()  # `prepare_database` makes them at every start; they load all pages and REST

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--workflow", metavar="F.toml", default="demo", help="a path, or the name of one in workflows/"
        )
        parser.add_argument("--stf-count", type=int, metavar="N", help="STFs in the run (one physics period)")
        parser.add_argument("--stf-size", type=int, metavar="BYTES", help="size of each STF")
        parser.add_argument(
            "--stf-interval", type=float, metavar="S", help="seconds from one STF to the next"
        )
        parser.add_argument("--from-dir", metavar="DIR", help="stream the files of DIR as the STFs")
        parser.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", help="any parameter, TOML"
        )
        parser.add_argument(
            "--namespace",
            default=settings.SWF_NAMESPACE,
            help="one that the testbed serves: SWF_NAMESPACE or among SWF_NAMESPACES",
        )
        parser.add_argument("--follow", action="store_true", help="stay until the run is settled")
        parser.add_argument(
            "--timeout", type=float, default=600.0, metavar="S", help="follow at most so long"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            workflow = load_workflow(_workflow_path(options["workflow"]), _overrides(options))
            run = request_run(workflow, namespace=options["namespace"], requested_by=getpass.getuser())
        except (WorkflowError, DomainError) as error:
            raise CommandError(str(error)) from error
        if options["follow"]:
            closed = follow_run(run.run_number, timeout=options["timeout"], as_json=options["json"])
            if not closed:
                raise SystemExit(1)
        elif options["json"]:
            self.stdout.write(f'{{"run_number": {run.run_number}, "state": "{run.lifecycle}"}}')
        else:
            self.stdout.write(f"run {run.run_number} is requested ({run.execution})")


def _workflow_path(name: str) -> Path:
    path = Path(name)
    if path.suffix == ".toml" or path.exists():
        return path
    directory: Path = settings.BASE_DIR / "workflows"
    return directory / f"{name}.toml"


def _overrides(options: dict[str, Any]) -> dict[str, Any]:
    overrides: dict[str, Any] = {}
    if options["stf_count"] is not None:
        overrides |= {"daq_state_machine.stf_count": options["stf_count"], "physics_period_count": 1}
    if options["stf_size"] is not None:
        overrides["stf.size_bytes"] = options["stf_size"]
    if options["stf_interval"] is not None:
        overrides |= {"stf_interval": options["stf_interval"], "stf_generation_time": 0.0}
    if options["from_dir"] is not None:
        overrides["stf.from_dir"] = str(Path(options["from_dir"]).resolve())
    for assignment in options["set"]:
        key, separator, text = assignment.partition("=")
        if not separator:
            raise CommandError(f"--set {assignment!r} is not KEY=VALUE, e.g. --set stf_interval=0.1")
        try:
            overrides[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            raise CommandError(
                f"--set {assignment!r}: {text!r} is no TOML value; quote texts: '\"{text}\"'"
            ) from None
    return overrides
