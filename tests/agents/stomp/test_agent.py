"""An agent on ActiveMQ, as it is configured: how soon it knows that its broker stands still, and how it answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from apps.agents.models import DeadLetter, SystemAgent
from services.activemq.engine import ActiveMQ
from services.base import REPOSITORY, Engine
from tests import database
from tests.engines import names_an_engine
from tests.system.plain_client import PlainClient

from .conftest import eventually, url_of

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

# Two heart-beats that do not come, and the agent's next word.
NOTICED_SECONDS = 120.0
COMMANDS = "/queue/workflow_control"


@contextmanager
def an_agent(home: Path, broker: Engine) -> Iterator[None]:
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


def works() -> bool:
    """Whether it has said that it does."""
    return SystemAgent.objects.exists() and not trouble()


def test_a_frozen_broker_is_noticed_in_seconds_and_its_return(mortal: ActiveMQ, tmp_path: Path) -> None:
    with an_agent(tmp_path, mortal):
        eventually(works, seconds=120, what="a working agent")
        assert mortal.pid is not None
        os.killpg(mortal.pid, signal.SIGSTOP)
        try:
            eventually(lambda: "no connection to stomp" in trouble(), seconds=NOTICED_SECONDS)
        finally:
            os.killpg(mortal.pid, signal.SIGCONT)
        eventually(works, seconds=120, what="the connection after the thaw")


@pytest.fixture
def client(activemq: Engine) -> Iterator[PlainClient]:
    one = PlainClient(activemq.environment())
    yield one
    one.close()


@pytest.fixture
def daqsim(activemq: Engine, tmp_path: Path) -> Iterator[None]:
    """The DAQ, in the namespace `local`."""
    with an_agent(tmp_path, activemq):
        eventually(works, seconds=120, what="a working agent")
        yield


class Asker:
    """Somebody who asks in its own words, and waits for the answer on a queue of its own."""

    def __init__(self, client: PlainClient, kind: str = "queue") -> None:
        self.queue = f"/{kind}/answers.{uuid4().hex[:8]}"
        self._client = client
        client.subscribe(self.queue)

    def ask(self, *, correlation: str = "", **fields: Any) -> tuple[dict[str, Any], dict[str, str]]:
        """What is answered, body and headers."""
        before = len(self._client.came(self.queue))
        headers = {"reply-to": self.queue} | ({"correlation-id": correlation} if correlation else {})
        self._client.send(COMMANDS, {"namespace": "local", **fields}, **headers)
        eventually(lambda: len(self._client.came(self.queue)) > before, what=f"an answer to {fields}")
        return self._client.came_with_headers(self.queue)[-1]


@pytest.mark.usefixtures("daqsim")
def test_who_asks_knows_the_answer_by_what_it_brings_back(client: PlainClient) -> None:
    asker = Asker(client)
    asked = {"msg_type": "status_request", "msg_id": "m1"}
    first, headers = asker.ask(**asked, correlation="c7")
    # Its own ids need not be unique: it may count anew after each start.
    again, _ = asker.ask(**asked, correlation_id="c8")
    temporary = Asker(client, "temp-queue")
    refused, _ = temporary.ask(msg_type="run_workflow", workflow_name="no_such", msg_id="m1")

    assert (first["status"], first["msg_id"], first["correlation_id"]) == ("ok", "m1", "c7")
    assert headers["correlation-id"] == "c7"
    assert (again["status"], again["correlation_id"], again["result"]) == ("ok", "c8", {"runs": []})
    assert (refused["status"], refused["msg_id"]) == ("error", "m1")
    assert "'no_such' is unknown" in refused["reason"]
    assert len({answer["causation_id"] for answer in (first, again, refused)}) == 3
    assert {letter.msg_type for letter in DeadLetter.objects.all()} == {"run_workflow"}


@pytest.mark.usefixtures("daqsim")
def test_a_command_for_a_namespace_of_nobody_is_not_met_with_silence(client: PlainClient) -> None:
    asker = Asker(client)
    nobodys = f"locl{uuid4().hex[:6]}"
    said, headers = asker.ask(msg_type="status_request", namespace=nobodys, msg_id="m2", correlation="c9")

    assert (said["status"], said["msg_id"], headers["correlation-id"]) == ("handed_on", "m2", "c9")
    assert f"namespace '{nobodys}' is not served by this testbed, which serves local" in said["reason"]
    assert "SWF_NAMESPACES" in said["reason"]

    theirs = f"{COMMANDS}.{nobodys}"
    client.subscribe(theirs)
    eventually(lambda: client.came(theirs), what="the command in the other queue")
    [(left, kept)] = client.came_with_headers(theirs)
    assert (left["msg_id"], kept["reply-to"], kept["correlation-id"]) == ("m2", asker.queue, "c9")
    assert UUID(kept["original_message_id"])
