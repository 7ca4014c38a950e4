"""The manager as a process on a real ActiveMQ, for a home in which nothing runs."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kombu import Connection

from apps.agents.bus import stomp
from services.activemq import address
from services.activemq.engine import ActiveMQ
from services.base import Engine
from tests.engines import names_an_engine, require
from tests.remote import ANSWER_SECONDS, POLL_SECONDS, ManagerProcess, Operator

pytestmark = [pytest.mark.services, pytest.mark.filterwarnings("ignore::ResourceWarning")]

stomp.register()
Manage = Callable[..., ManagerProcess]


@pytest.fixture
def user() -> str:
    """A user of this test's own: the broker outlives the test."""
    return f"user-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def manage(home: Path, user: str, tmp_path: Path) -> Iterator[Manage]:
    """Starts managers of `home` for a broker; what still runs at the end is killed."""
    started: list[ManagerProcess] = []

    def start(broker: Engine, whose: str = user) -> ManagerProcess:
        variables = {name: value for name, value in os.environ.items() if not names_an_engine(name)}
        variables |= {**broker.environment(), "SWF_HOME": str(home)}
        started.append(ManagerProcess(variables, whose, tmp_path / f"manager-{len(started)}.log"))
        return started[-1]

    yield start
    for manager in started:
        if manager.process.poll() is None:
            manager.kill()


@pytest.fixture
def operator(activemq: Engine, user: str) -> Iterator[Operator]:
    one = Operator(activemq.environment(), user)
    yield one
    one.leave()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[ActiveMQ]:
    """An ActiveMQ that may be killed, not started."""
    require("activemq")
    broker = ActiveMQ(tmp_path)
    yield broker
    broker.stop()


class Busy:
    """Somebody who starts or stops the testbed of a home: commands that change it have to wait."""

    def __init__(self, home: Path) -> None:
        self._file = (home / "start.lock").open("a")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def done(self) -> None:
        self._file.close()


def test_commands_are_answered_wherever_the_answer_is_wanted(
    activemq: Engine, manage: Manage, operator: Operator, user: str
) -> None:
    manager = manage(activemq)
    alive = operator.ask("ping")
    assert (alive["status"], alive["username"]) == ("alive", user)
    assert operator.ask("status")["supervisord_status"] == "stopped"
    assert operator.ask("stop_testbed")["message"].startswith("stopped nothing")

    topic = f"/topic/{operator.name}"
    operator.listen(topic)
    assert operator.ask("ping", reply_to=topic)["status"] == "alive"

    temporary = f"/temp-queue/{operator.name}"
    operator.listen(temporary)
    operator.send(json.dumps({"command": "ping"}), reply_to=temporary, correlation_id="it: 7")
    headers, answer = operator.answer()
    assert (answer["status"], answer["correlation_id"]) == ("alive", "it: 7")
    assert headers["correlation-id"] == "it: 7"

    assert manager.end() == 0
    assert manager.said("ended") == 1


def test_rubbish_is_put_aside_or_answered_and_ends_nothing(
    activemq: Engine, manage: Manage, operator: Operator, user: str
) -> None:
    manager = manage(activemq)
    for rubbish in (b"", b"{", b"\xff\x00\xff", "[" * 100_000):
        operator.send(rubbish, reply_to=f"/queue/{operator.name}")
    for wrong in ([], {"command": "dance"}, {"command": "ping", "reply_to": {}}):
        operator.send(json.dumps(wrong), reply_to=f"/queue/{operator.name}")
        assert operator.answer()[1]["status"] == "error"
    operator.send(json.dumps({"command": "dance"}))
    operator.command("ping", reply_to="/remote-temp-queue/ID:of-nobody-1-1:1:1")

    assert operator.ask("ping")["status"] == "alive"
    assert manager.said("put aside as a dead letter") == 4
    assert manager.said("no answer to /remote-temp-queue/") == 1
    assert manager.said("listening on") == 1
    assert manager.end() == 0
    wait_length(activemq, f"agent_control.{user}", 0)
    wait_length(activemq, f"DLQ.agent_control.{user}", 4)


def wait_length(broker: Engine, queue: str, wanted: int) -> None:
    """Wait until so many messages lie in a queue: the last words of whoever has ended may still be on their way."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while (found := length(broker, queue)) != wanted:
        assert time.monotonic() < deadline, f"{found} messages in {queue}"
        time.sleep(POLL_SECONDS)


def length(broker: Engine, queue: str) -> int:
    """How many messages lie in a queue, those in a consumer's hands among them."""
    (place,) = address.url(broker.environment()).split(";")
    with Connection(place) as connection:
        connection.connect()
        return int(connection.transport.destination_statistics(f"/queue/{queue}").length)


def test_there_is_one_manager_per_user(
    activemq: Engine, manage: Manage, operator: Operator, user: str
) -> None:
    first = manage(activemq)
    assert operator.ask("ping")["status"] == "alive"
    second = manage(activemq)
    assert second.process.wait(ANSWER_SECONDS) == 1
    assert second.said(f"an agent-manager of {user}") == 1
    assert second.said(f"process {first.process.pid}") == 1
    manage(activemq, f"{user}-2").wait_said("listening on")
    first.kill()
    manage(activemq).wait_said("listening on")


def test_during_a_long_command_questions_are_answered_and_its_end_is_waited_for(
    activemq: Engine, manage: Manage, operator: Operator, home: Path
) -> None:
    manager = manage(activemq)
    assert operator.ask("ping")["status"] == "alive"
    busy = Busy(home)
    long, waiting = operator.command("stop_testbed"), operator.command("stop_testbed")
    manager.wait_said("waiting for it")
    assert operator.ask("ping")["status"] == "alive"
    manager.process.send_signal(signal.SIGTERM)
    manager.wait_said("ending as soon as")
    busy.done()
    assert operator.answer_to(long)["status"] == "ok"
    assert manager.process.wait(ANSWER_SECONDS) == 0
    assert manager.said("'stop_testbed': ok") == 1

    manage(activemq)
    assert operator.answer_to(waiting)["status"] == "ok"


def test_the_command_of_a_killed_manager_is_carried_out_by_the_next(
    activemq: Engine, manage: Manage, operator: Operator, home: Path
) -> None:
    manager = manage(activemq)
    assert operator.ask("ping")["status"] == "alive"
    busy = Busy(home)
    command = operator.command("stop_testbed")
    manager.wait_said("waiting for it")
    manager.kill()
    busy.done()
    manage(activemq)
    assert operator.answer_to(command)["status"] == "ok"


def test_it_waits_for_the_broker_and_comes_back(own: ActiveMQ, manage: Manage, user: str) -> None:
    manager = manage(own)
    manager.wait_said("waiting for ActiveMQ: 127.0.0.1:")
    for connections in (1, 2):
        own.start()
        operator = Operator(own.environment(), user)
        assert operator.ask("ping")["status"] == "alive"
        operator.leave()
        assert manager.said("listening on") == connections
        waits = manager.said("waiting for ActiveMQ")
        assert own.pid is not None
        os.kill(own.pid, signal.SIGKILL)
        own.stop()
        manager.wait_said("waiting for ActiveMQ", waits + 1)
    assert manager.end() == 0
