"""Runs started from the command line: the arguments for `manage.py start_run`, and the demo's JSON object."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.base import REPOSITORY
from swf_site.cli.errors import CommandError
from swf_site.cli.home import SETUP_STARTED, Home

MANAGE = str(REPOSITORY / "manage.py")
DEMO_WORKFLOW = "demo"


@dataclass(frozen=True)
class RunRequest:
    """What a user may say about a run: size in bytes, interval in s; None leaves it to the workflow."""

    workflow: str | None = None
    stf_count: int | None = None
    stf_size: int | None = None
    stf_interval: float | None = None
    from_dir: Path | None = None

    def arguments(self) -> list[str]:
        """As `manage.py start_run` takes them."""
        given = {
            "--workflow": self.workflow,
            "--stf-count": self.stf_count,
            "--stf-size": self.stf_size,
            "--stf-interval": self.stf_interval,
            "--from-dir": self.from_dir,
        }
        return [word for name, value in given.items() if value is not None for word in (name, str(value))]


def manage(home: Home, *arguments: str) -> None:
    """Become a management command of the testbed in `home`."""
    os.execve(sys.executable, [sys.executable, MANAGE, *arguments], home.environment())  # noqa: S606


def follow_run(home: Home, request: RunRequest) -> int:
    """Take a run and follow it on the terminal; the exit status is 0 if it closed."""
    command = [sys.executable, MANAGE, "start_run", "--follow", *request.arguments()]
    return subprocess.run(command, env=home.environment(), check=False).returncode


def follow_run_json(home: Home, request: RunRequest) -> tuple[dict[str, Any], int]:
    """Take a run and follow it, progress on standard error; returns its summary and the exit status.

    Raises:
        CommandError: the run could not be taken; its reason is already on standard error.
    """
    seconds_setup = time.time() - float(os.environ.get(SETUP_STARTED, time.time()))
    command = [sys.executable, MANAGE, "start_run", "--follow", "--json", *request.arguments()]
    done = subprocess.run(command, env=home.environment(), stdout=subprocess.PIPE, text=True, check=False)
    return {**summary(done.stdout), "seconds_setup": round(seconds_setup, 1)}, done.returncode


def summary(output: str) -> dict[str, Any]:
    """The object in the last line of what `start_run --follow --json` prints.

    Raises:
        CommandError: there is none.
    """
    lines = output.strip().splitlines()
    try:
        found = json.loads(lines[-1])
    except (IndexError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise CommandError("the run gave no summary; its messages are above")
    return found
