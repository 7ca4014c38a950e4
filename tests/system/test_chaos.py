"""An ActiveMQ, agents and a relay that are killed again and again."""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import Any

import pytest
from kombu import Connection, Exchange

from apps.agents.bus import stomp
from services.bus import Bus
from services.registry import engine
from tests.agents.foreign_daq import ForeignDaq

from .fast_path import assert_fast_path_adds_up
from .testbed import Testbed, wait_until

pytestmark = [
    pytest.mark.services,
    pytest.mark.timeout(1200),
    pytest.mark.parametrize("testbed", [Bus.ACTIVEMQ], indirect=True),
]

log = logging.getLogger(__name__)

SEED = 20261122
KILLS = 30
VICTIMS = ("activemq", "data", "daqsim", "processing", "fastmon", "fastproc", "relay")
# Beside the run of our own: as many messages of another DAQ, each of which is a task of the data agent.
STFS, FOREIGN_STFS, FOREIGN_RUN = 200, 2000, 500_000
# Messages per second, so that they are sent as long as there are kills; what a broker that is away held up is caught up on.
FOREIGN_RATE = 50


class Producer(threading.Thread):
    """Announces the STFs of another DAQ's run, each until the broker has confirmed it; so some come twice."""

    def __init__(self, testbed: Testbed) -> None:
        super().__init__(daemon=True)
        login = engine("activemq", testbed.home).environment()
        stomp.register()
        self._broker = Connection(
            f"stomp://{login['ACTIVEMQ_USER']}:{login['ACTIVEMQ_PASSWORD']}@{login['ACTIVEMQ_HOST']}"
            f":{login['ACTIVEMQ_PORT']}//",
            transport_options={"foreign_exchanges": {"epictopic": {"destination": "/topic/epictopic"}}},
        )
        self._daq = ForeignDaq(str(FOREIGN_RUN), namespace="local")
        self._buffer = testbed.storage / "E0_BUFFER"
        self.sent = 0

    def run(self) -> None:
        with self._broker:
            messages: list[dict[str, Any]] = [self._daq.say("run_imminent"), self._daq.say("start_run")]
            messages += [self._stf(sequence) for sequence in range(1, FOREIGN_STFS + 1)]
            begin = time.monotonic()
            for nth, message in enumerate(messages):
                time.sleep(max(0.0, begin + nth / FOREIGN_RATE - time.monotonic()))
                self._publish(message)
                self.sent += message["msg_type"] == "stf_gen"

    def _stf(self, sequence: int) -> dict[str, Any]:
        """An STF that the registrar will not find: this is about messages, not about copies."""
        place = {"file_url": str(self._buffer / f"{sequence}.stf"), "size_bytes": 1, "checksum": "00000001"}
        return {**self._daq.stf_gen(sequence), **place}

    def _publish(self, message: dict[str, Any]) -> None:
        self._broker.Producer(serializer="json").publish(
            [[message], {}, {}],
            exchange=Exchange("epictopic", type="topic"),
            retry=True,
            retry_policy={"max_retries": 100, "interval_start": 0.1, "interval_step": 0.2, "interval_max": 1},
        )


def _count(testbed: Testbed, query: str, *parameters: Any) -> int:
    found = testbed.try_rows(query, *parameters)
    return int(found[0][0]) if found else -1


def _kill_at_random(testbed: Testbed) -> dict[str, int]:
    """SIGKILL what runs, one victim after the other; how often each."""
    dice = random.Random(SEED)
    kills = dict.fromkeys(VICTIMS, 0)
    while sum(kills.values()) < KILLS:
        victim = dice.choice(VICTIMS)
        if testbed.is_running(victim):
            testbed.kill(victim)
            kills[victim] += 1
        time.sleep(dice.uniform(0.3, 1.5))
    return kills


def test_nothing_is_lost_or_doubled_whatever_is_killed(testbed: Testbed) -> None:
    producer = Producer(testbed)
    producer.start()
    run = testbed.start_run(
        *("--workflow", "demo", "--stf-count", str(STFS), "--stf-size", "50000", "--stf-interval", "0.2"),
        *("--set", 'processing.policy="none"'),  # this is about the bus; test_faults.py kills jobs, too
    )
    kills = _kill_at_random(testbed)
    assert producer.sent > FOREIGN_STFS / 10, "the kills were over before anything was sent"
    assert min(kills.values()) > 0, kills
    wait_until(lambda: not producer.is_alive(), seconds=300, what="everything is published")

    own = "run_id = (SELECT id FROM runs_run WHERE run_number = %s)"
    wait_until(
        lambda: _count(testbed, f"SELECT count(*) FROM stf_stffile WHERE {own}", FOREIGN_RUN) == FOREIGN_STFS,
        seconds=300,
        what="every message of the other DAQ is handled",
    )
    wait_until(lambda: testbed.lifecycle(run) == "closed", seconds=480, what="our run is closed")
    kinds = dict(
        testbed.rows(
            f"SELECT kind, count(*) FROM runs_journalentry WHERE {own} AND kind LIKE 'stf%%' GROUP BY kind",
            run,
        )
    )
    kinds.pop("stf_released", None)  # the last may still be under way
    assert kinds == {
        "stf_gen": STFS,
        "stf_ready": STFS,
        "stf_replicated": 2 * STFS,
        "stf_releasable": STFS,
    }
    heard = testbed.rows(
        f"SELECT count(*), count(DISTINCT subject) FROM runs_journalentry WHERE {own} AND kind = 'stf_gen'",
        FOREIGN_RUN,
    )
    assert heard == [(FOREIGN_STFS, FOREIGN_STFS)]
    assert testbed.rows("SELECT agent, reason FROM agents_deadletter") == []
    assert_fast_path_adds_up(testbed, run)
    log.warning(
        "%d kills %s: %d + %d STFs, 0 lost, 0 doubled", sum(kills.values()), kills, STFS, FOREIGN_STFS
    )
