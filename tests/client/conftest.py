"""A real testbed's web server for the client, and its tokens."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from swf_client import Rest, heartbeat, line, logs

from apps.agents.bus.relay import sequence
from apps.agents.models import AppLog
from apps.agents.services import issue_token
from apps.runs.models import Run
from services.base import REPOSITORY
from tests.factories import an_stf, registered
from tests.people import a_user
from tests.web import PATIENCE, Web

EXAMPLE = REPOSITORY / "client" / "examples" / "agent.py"


def a_token(user: str = "ann", expires_at: datetime | None = None) -> str:
    """A token that may read and write."""
    owner = User.objects.filter(username=user).first() or a_user(user, "agent")
    return issue_token(owner, by="tester", name="for tests", expires_at=expires_at).secret


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever ends or waits for its records does so for as long as a busy machine may take."""
    for module, name in (
        (logs, "LAST_WORD_SECONDS"),
        (heartbeat, "LAST_WORD_SECONDS"),
        (line, "CONNECT_SECONDS"),
        (line, "_GOODBYE_SECONDS"),
    ):
        monkeypatch.setattr(module, name, PATIENCE)


@pytest.fixture
def rest(web: Web) -> Rest:
    """The testbed, asked by somebody who may write."""
    return Rest(web.url, a_token())


@contextmanager
def example(url: str, token: str, state: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """The example as a process of its own; killed in the end if it still runs."""
    environment = {"PATH": os.environ["PATH"], "SWF_MONITOR_URL": url, "SWF_API_TOKEN": token}
    environment |= {"SWF_AGENT_STATE": str(state), "LOGNAME": "ann", **variables}
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLE)], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


def ready(run: Run, *sequences: int) -> list[str]:
    """Have STFs of a run become ready, and number what the journal says of it; what the example then says."""
    stfs = registered(*(an_stf(run, number) for number in sequences)) if sequences else []
    while sequence():
        pass
    return [f"{stf.stf_filename} is ready" for stf in stfs]


def said(*, about: str = "") -> list[str]:
    """The messages of the log records that have arrived, in order, of those that contain the words."""
    found: Any = AppLog.objects.filter(message__contains=about).order_by("id")
    return list(found.values_list("message", flat=True))
