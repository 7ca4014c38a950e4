"""A real web process on the test database."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from time import monotonic, sleep
from urllib.error import URLError

from django.conf import settings
from django.db import transaction

from apps.agents.bus.relay import sequence
from apps.runs import journal
from services.base import default_home
from services.ports import port
from tests import database

PATIENCE = 120.0


def note(*subjects: str, size: int = 0) -> None:
    """Commit and number entries."""
    with transaction.atomic():
        journal.record_many(
            [journal.Change("note", subject=subject, payload={"reason": "x" * size}) for subject in subjects]
        )
    while sequence():
        pass


class Web:
    """The web process; it can be killed and started again at the same address."""

    def __init__(self, log: Path, *, module: str = "swf_site.web", **variables: str) -> None:
        """`module` is run; `variables` of its environment, beside those of the tests."""
        self.port = port(default_home(), "web")
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        self._module = module
        self._variables = variables
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        command = [sys.executable, "-m", self._module, "-b", "127.0.0.1", "-p", str(self.port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=settings.BASE_DIR,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        deadline = monotonic() + PATIENCE
        while not self._answers():
            if monotonic() > deadline or self._process.poll() is not None:
                self.kill()  # else the next test is answered by this one
                raise RuntimeError(f"the web process does not answer: {self._log.read_text()}")
            sleep(0.1)

    def kill(self) -> None:
        """End it without a word."""
        if self._process:
            self._process.kill()
            self._process.wait()

    @property
    def environment(self) -> dict[str, str]:
        """By which a process finds the test database."""
        return os.environ | {
            "DATABASE_URL": database.address(),
            "DJANGO_SETTINGS_MODULE": os.environ["DJANGO_SETTINGS_MODULE"],
            # So that its pid is that of the process that does everything.
            "SWF_WEB_PROCESSES": "1",
            **self._variables,
        }

    @property
    def pid(self) -> int:
        """The process id, while it runs."""
        assert self._process
        return self._process.pid

    def _answers(self) -> bool:
        try:
            return urllib.request.urlopen(f"{self.url}/healthz", timeout=5).status == 200
        except (URLError, OSError):
            return False
