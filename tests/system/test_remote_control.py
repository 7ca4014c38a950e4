"""A whole testbed, stopped and started over its own ActiveMQ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.bus import Bus
from services.registry import engine
from swf_site.cli import system
from tests.remote import ManagerProcess, Operator

from .testbed import Testbed

pytestmark = [
    pytest.mark.services,
    pytest.mark.timeout(900),
    pytest.mark.parametrize("testbed", [Bus.ACTIVEMQ], indirect=True),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

USER = "operator"
# As long as it takes the testbed to stop or start; it does not give itself more.
START_SECONDS = 180


@pytest.fixture
def manager(testbed: Testbed, tmp_path: Path) -> Iterator[ManagerProcess]:
    """The manager of this testbed."""
    running = ManagerProcess(testbed.environment, USER, tmp_path / "manager.log")
    yield running
    assert running.end() == 0


def connect(testbed: Testbed) -> Operator:
    return Operator(engine("activemq", testbed.home).environment(), USER)


def test_the_testbed_is_stopped_started_and_asked_from_afar(
    testbed: Testbed, manager: ManagerProcess
) -> None:
    operator = connect(testbed)
    status = operator.ask("status")
    assert status["ready"], status
    assert sorted(status["agents_running"]) == sorted(system.AGENTS)
    assert status["supervisord_status"] == "running"

    stopped = operator.ask("stop_testbed", seconds=START_SECONDS)
    assert stopped["status"] == "ok", stopped
    status = operator.ask("status")
    assert (status["ready"], status["agents_running"]) == (False, [])
    states = {program["name"]: program["state"] for program in status["programs"]}
    assert {name: states.pop(name) for name in system.PROGRAMS} == dict.fromkeys(system.PROGRAMS, "STOPPED")
    assert {"postgres", "rucio", "activemq"} <= set(states)
    assert set(states.values()) == {"RUNNING"}
    assert all(one["ready"] for one in status["engines"])
    assert operator.ask("ping")["status"] == "alive"

    started = operator.ask("start_testbed", seconds=START_SECONDS)
    assert started["message"] == f"started {', '.join(sorted(system.PROGRAMS))}"
    assert operator.ask("start_testbed", seconds=START_SECONDS)["message"] == "started nothing"
    assert operator.ask("status")["ready"]

    operator.leave()
    killed = testbed.kill("activemq")
    manager.wait_said("listening on", times=2, seconds=120)
    assert testbed.restarted("activemq", killed)
    operator = connect(testbed)
    restarted = operator.ask("restart", seconds=START_SECONDS)
    assert restarted["status"] == "ok", restarted
    assert operator.ask("status")["ready"]
    operator.leave()
