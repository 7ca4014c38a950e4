"""The measured site: a PostgreSQL and a web process of its own in a temporary home, and a token for it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from configparser import RawConfigParser
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.api.client import Client
from benchmarks.api.cpu import cpu_seconds
from services.base import REPOSITORY
from services.ports import port
from services.postgres.engine import Postgres
from services.registry import CLASSES

USER = "benchmark"
START_SECONDS = 60.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Site:
    """A running site. `token` may read and write in all namespaces; by `environment`, `manage.py` is of this site."""

    home: Path
    environment: dict[str, str]
    database: str
    web_port: int
    web_pid: int
    token: str

    def client(self) -> Client:
        """A client with a connection of its own, which it keeps."""
        return Client(self.web_port, self.token)

    def connect(self) -> psycopg.Connection[Any]:
        """A connection to the database, committing each statement."""
        return psycopg.connect(self.database, autocommit=True)

    @property
    def exit_buffer(self) -> Path:
        """Where the files of STFs must lie."""
        return self.home / "storage" / "E0_BUFFER"

    def web_cpu_seconds(self) -> float:
        """CPU time that the web processes have used so far."""
        return cpu_seconds(self.web_pid)


@contextmanager
def running_site() -> Iterator[Site]:
    """The site, ended and removed afterwards.

    Raises:
        SystemExit: the web process did not come up; the text has the end of what it said.
    """
    with tempfile.TemporaryDirectory(prefix="swf-api-", ignore_cleanup_errors=True) as directory:
        home = Path(directory)
        environment = _environment(home)
        with ExitStack() as stack:
            postgres = Postgres(home)
            stack.callback(postgres.stop)
            postgres.start()
            _manage(environment, "migrate", "--no-input", "--verbosity=0")
            token = _manage(environment, "get_token", USER, "--create-user")
            _manage(environment, "access", USER, "--role", "agent", "--namespace", "*")
            web_port = port(home, "web")
            web = stack.enter_context(_web(home, environment, web_port))
            yield Site(home, environment, postgres.url(), web_port, web.pid, token)


def _environment(home: Path) -> dict[str, str]:
    chosen = {kind.selected_by for kind in CLASSES} | {"BROKER_URL", "BROKER_URL_FILE"}
    inherited = {name: value for name, value in os.environ.items() if name not in chosen}
    return inherited | {
        "SWF_HOME": str(home),
        "SECRET_KEY": secrets.token_hex(),
        "SWF_PRODUCTION": "true",
        "SWF_ALLOWED_HOSTS": "127.0.0.1",
        "SWF_THROTTLE": "",
        "DJANGO_SETTINGS_MODULE": "benchmarks.api.settings",
    }


def _manage(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"manage.py {arguments[0]} failed: {done.stderr[-1500:]}")
    return done.stdout.strip()


@contextmanager
def _web(home: Path, environment: dict[str, str], web_port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The web process by supervisor's command, once it answers."""
    configuration = RawConfigParser()
    configuration.read(REPOSITORY / "supervisord.conf")
    command = configuration["program:web"]["command"].replace("%(ENV_SWF_WEB_PORT)s", str(web_port))
    arguments = command.replace('"%(here)s/.venv/bin/python"', sys.executable).split()
    log = home / "log" / "web.log"
    with log.open("wb") as words:
        web = subprocess.Popen(
            arguments,
            cwd=REPOSITORY,
            env=environment | {"SWF_PROCESS": "web"},
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
        )
    try:
        _wait_until_it_answers(web, web_port, log)
        yield web
    finally:
        web.terminate()
        try:
            web.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            web.kill()
            web.wait()


def _wait_until_it_answers(web: subprocess.Popen[bytes], web_port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while web.poll() is None and time.monotonic() < deadline:
        try:
            with Client(web_port, "") as client:
                client.ask("GET", "/healthz")
        except OSError:
            time.sleep(POLL_SECONDS)
        else:
            return
    raise SystemExit(f"the web process did not come up:\n{log.read_text()[-1500:]}")
