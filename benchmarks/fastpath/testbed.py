"""A whole testbed in a temporary home, started by the command that users type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from services.base import REPOSITORY
from services.registry import CLASSES, compose_environment
from swf_site.cli.home import Home
from swf_site.cli.supervisor import Supervisor

POLL_SECONDS = 0.2


class Testbed:
    """A running testbed, its database, and the runs that it is given."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self.supervisor = Supervisor(Home(home))
        self._environment = environment
        engines = compose_environment(home)
        self._database = engines["DATABASE_URL"]
        self.web_port = Home(home).web_port

    def start_run(self, *arguments: str) -> subprocess.Popen[str]:
        """Request a run of the workflow `demo`, with these arguments of `start_run`, and follow it to its end."""
        command = [
            sys.executable,
            "manage.py",
            "start_run",
            "--workflow",
            "demo",
            "--follow",
            "--json",
            *arguments,
        ]
        return subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with psycopg.connect(self._database, autocommit=True) as connection:
            return connection.execute(query, values).fetchall()  # type: ignore[arg-type]

    def newest_run(self, *, after: int = 0, seconds: float = 60) -> int:
        """Number of the newest run, once there is one above `after`."""
        newest: list[tuple[Any, ...]] = []

        def there() -> bool:
            newest[:] = self.ask("SELECT coalesce(max(run_number), 0) FROM runs_run")
            return int(newest[0][0]) > after

        wait_until(there, "a new run", seconds)
        return int(newest[0][0])


def outcome(run: subprocess.Popen[str]) -> dict[str, Any]:
    """What the followed run said at its end."""
    said, _ = run.communicate()
    if not said.strip():
        raise SystemExit("the run could not be started")
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


def wait_until(there: Callable[[], bool], what: str, seconds: float) -> None:
    """Look again and again, until it is there.

    Raises:
        SystemExit: it was not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not there():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {seconds:g} s")
        time.sleep(POLL_SECONDS)


@contextmanager
def running_testbed(transfer: str) -> Iterator[Testbed]:
    """A testbed whose exit buffer is read by `transfer` ("xrootd" or "posix"); ended and removed afterwards."""
    chosen = {kind.selected_by for kind in CLASSES} | {"BROKER_URL", "BROKER_URL_FILE"}
    environment = {name: value for name, value in os.environ.items() if name not in chosen}
    with tempfile.TemporaryDirectory(prefix="swf-fast-", ignore_cleanup_errors=True) as directory:
        environment |= {"SWF_HOME": directory, "SWF_TRANSFER": transfer, "SWF_ANONYMOUS_READ": "true"}
        launcher = [sys.executable, "-m", "swf_site.cli"]
        try:
            subprocess.run(
                [*launcher, "start-local"], cwd=REPOSITORY, env=environment, stdout=sys.stderr, check=True
            )
            yield Testbed(Path(directory), environment)
        finally:
            subprocess.run(
                [*launcher, "stop-local"],
                cwd=REPOSITORY,
                env=environment,
                stdout=subprocess.DEVNULL,
                check=False,
            )
