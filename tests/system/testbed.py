"""Handling a running testbed from outside: its processes, its database, its Rucio, its command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psycopg
import pytest

from services.base import REPOSITORY
from services.bus import BROKERS, Bus
from services.registry import engine
from swf_site.cli.home import Home
from swf_site.cli.supervisor import Supervisor
from tests.engines import names_an_engine

# What the tests' own engines put into this process's environment must not reach the testbed under test.
FOREIGN = ("SECRET_KEY", "DJANGO_SETTINGS_MODULE")
POLL_SECONDS = 0.1


def wait_until(true: Callable[[], Any], *, seconds: float, what: str) -> Any:
    """The first true answer; fails with `what` when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := true():
            return answer
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"not in {seconds:.0f} s: {what}")


class Testbed:
    """A running testbed."""

    __test__ = False

    def __init__(self, home: Path, environment: dict[str, str], bus: Bus) -> None:
        self.home = home
        self.bus = bus
        self.storage = home / "storage"
        self.environment = environment
        self._supervisor = Supervisor(Home(home))
        self._web = Home(home).dashboard.rstrip("/")
        self._database_url = engine("postgres", home).environment()["DATABASE_URL"]
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a management command as a user would."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def start_run(self, *arguments: str) -> int:
        """Request a run; its number."""
        done = self.manage("start_run", "--json", *arguments)
        assert done.returncode == 0, done.stderr
        return int(json.loads(done.stdout.splitlines()[-1])["run_number"])

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of the testbed's database, over a connection of this test's own; parameters in order, or one of names."""
        named = parameters[0] if parameters and isinstance(parameters[0], dict) else parameters
        try:
            return self._connected().execute(query, named).fetchall()
        except psycopg.OperationalError:  # the database was killed since the last question
            return self._connected().execute(query, named).fetchall()

    def close(self) -> None:
        """Give up the connection to the database."""
        if self._connection is not None:
            self._connection.close()

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection, kept: making one costs as much as dozens of questions, and tests ask ten times a second."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._database_url, autocommit=True)
        return self._connection

    def try_rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """As `rows`, but nothing while the database is away."""
        try:
            return self.rows(query, *parameters)
        except psycopg.Error:
            return []

    def lifecycle(self, run_number: int) -> str:
        """The run's lifecycle, "" while the database is away."""
        found = self.try_rows("SELECT lifecycle FROM runs_run WHERE run_number = %s", run_number)
        return str(found[0][0]) if found else ""

    def kill(self, program: str) -> int:
        """SIGKILL a program; the id of its killed process."""
        pid = self.pid(program)
        assert pid is not None, f"{program} does not run"
        os.kill(pid, signal.SIGKILL)
        return pid

    def pids(self, *words: str) -> list[int]:
        """The processes of this testbed whose command line has all these words; payloads know it by their directory."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes().decode().split("\0")
                environment = (process / "environ").read_bytes().decode().split("\0")
                directory = (process / "cwd").readlink()
            except (OSError, UnicodeDecodeError):
                continue
            is_ours = f"SWF_HOME={self.home}" in environment or directory.is_relative_to(self.home)
            if is_ours and all(word in command for word in words):
                found.append(int(process.name))
        return found

    def pid(self, program: str) -> int | None:
        """Its process, None while there is none."""
        return self._supervisor.state(program).pid

    def is_running(self, program: str) -> bool:
        """Whether supervisor takes it for running."""
        return self._supervisor.state(program).state == "RUNNING"

    def stop(self, program: str) -> None:
        """Have supervisor end a program, and not start it anew."""
        self._supervisor.stop([program])

    def start(self, program: str) -> None:
        """Have supervisor start it."""
        self._supervisor.start(program)

    def page(self, path: str) -> str:
        """A page of the web server."""
        with urlopen(self._web + path, timeout=30) as answer:
            return str(answer.read().decode())

    def restarted(self, program: str, killed: int) -> bool:
        """Whether supervisor has started it anew; it may not be at work yet."""
        return self.pid(program) not in {None, killed}


@contextmanager
def running(bus: Bus) -> Iterator[Testbed]:
    """A testbed on that bus in a temporary home, started by the command a user types and copying by POSIX means; ended and
    removed afterwards. The test is skipped if the machine does not have the broker."""
    if (kind := BROKERS.get(bus)) and (reason := kind(Path("/nowhere")).missing()):
        pytest.skip(reason)
    home = Path(tempfile.mkdtemp(prefix="swf-system-"))
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in FOREIGN and (name == "SWF_RUCIO_PYTHON" or not names_an_engine(name))
    }
    environment |= {"SWF_HOME": str(home), "SWF_TRANSFER": "posix", "SWF_ANONYMOUS_READ": "true"}
    command = [str(REPOSITORY / "swf-testbed")]
    try:
        subprocess.run([*command, "start-local", "--bus", bus], env=environment, check=True, timeout=480)
        testbed = Testbed(home, environment, bus)
        yield testbed
        testbed.close()
    finally:
        subprocess.run([*command, "stop-local"], env=environment, check=False, timeout=240)
        shutil.rmtree(home, ignore_errors=True)
