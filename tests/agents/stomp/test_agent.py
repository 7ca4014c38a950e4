"""An agent on ActiveMQ, as it is configured: how soon it knows that its broker stands still."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apps.agents.models import SystemAgent
from services.activemq.engine import ActiveMQ
from services.base import REPOSITORY
from tests import database
from tests.engines import names_an_engine

from .conftest import eventually, url_of

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]

# Two heart-beats that do not come, and the agent's next word.
NOTICED_SECONDS = 45.0


@contextmanager
def an_agent(home: Path, broker: ActiveMQ) -> Iterator[None]:
    """`manage.py agent daqsim` on the test database and this broker."""
    environment = {name: value for name, value in os.environ.items() if not names_an_engine(name)}
    environment |= {
        "SWF_HOME": str(home),
        "DATABASE_URL": database.address(),
        "BROKER_URL": url_of(broker),
    }
    with (home / "daqsim.log").open("wb") as log:
        command = [sys.executable, "manage.py", "agent", "daqsim"]
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def trouble() -> str:
    """Why the agent gets no messages, as its last heartbeat says."""
    return SystemAgent.objects.get(instance_name="daqsim").description


def test_a_frozen_broker_is_noticed_in_seconds_and_its_return(mortal: ActiveMQ, tmp_path: Path) -> None:
    with an_agent(tmp_path, mortal):
        eventually(lambda: SystemAgent.objects.exists() and not trouble(), seconds=40, what="a working agent")
        assert mortal.pid is not None
        os.killpg(mortal.pid, signal.SIGSTOP)
        try:
            eventually(lambda: "no connection to stomp" in trouble(), seconds=NOTICED_SECONDS)
        finally:
            os.killpg(mortal.pid, signal.SIGCONT)
        eventually(lambda: not trouble(), seconds=30, what="the connection after the thaw")
