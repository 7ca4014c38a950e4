"""A broker that stays away for a minute: a whole testbed, with next to nothing to do meanwhile, so others run beside it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from services.bus import Bus
from tests.system.testbed import Testbed, running, wait_until

pytestmark = [pytest.mark.services, pytest.mark.timeout(1200)]

OUTAGE_SECONDS = 60
PATIENCE = 300  # for what takes ten seconds when nothing else runs
WAITING = "SELECT count(*) FROM agents_systemagent WHERE status = 'WARNING' AND description LIKE %s"
FINE = "SELECT count(*) FROM agents_systemagent WHERE status = 'OK'"
BEHIND = "SELECT max(position) - (SELECT position FROM runs_journalcursor WHERE follower = 'bus') FROM runs_journalentry"
AGENTS = 5  # and the relay


@pytest.fixture
def testbed() -> Iterator[Testbed]:
    """One over ActiveMQ."""
    with running(Bus.ACTIVEMQ) as testbed:
        yield testbed


def _count(testbed: Testbed, query: str, *parameters: str) -> int:
    [(count,)] = testbed.rows(query, *parameters)
    return int(count)


def test_a_broker_that_stays_away_is_named_and_loses_nothing(testbed: Testbed) -> None:
    """The agents, the relay and the pages say what is missing; what was written meanwhile goes out afterwards."""
    testbed.stop("activemq")
    stopped = time.monotonic()
    run = testbed.start_run("--workflow", "fast", "--stf-count", "20")
    wait_until(
        lambda: (
            _count(testbed, WAITING, "bus: no connection to stomp://%") == AGENTS
            and _count(testbed, WAITING, "publish: the broker does not take messages%") == 1
        ),
        seconds=PATIENCE,
        what="agents and relay say that the broker is away",
    )
    assert "the broker does not take messages" in testbed.page("/")
    wait_until(
        lambda: time.monotonic() - stopped > OUTAGE_SECONDS,
        seconds=OUTAGE_SECONDS + 1,
        what="the outage is over",
    )
    testbed.start("activemq")
    wait_until(lambda: testbed.lifecycle(run) == "closed", seconds=PATIENCE, what="the run is closed")
    wait_until(lambda: _count(testbed, BEHIND) == 0, seconds=PATIENCE, what="the backlog has gone out")
    wait_until(lambda: _count(testbed, FINE) == AGENTS + 1, seconds=PATIENCE, what="nobody waits any more")
