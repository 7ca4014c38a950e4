"""Agents of the existing swf system and the testbed on one ActiveMQ: each understands the other as it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from apps.agents.bus.vocabulary import MESSAGES
from apps.stf.container.checksum import adler32_file
from services.bus import Bus
from services.registry import engine
from tests.agents.foreign_daq import ForeignDaq

from .plain_client import PlainClient
from .testbed import Testbed, wait_until
from .witness import site_copy

pytestmark = [
    pytest.mark.services,
    pytest.mark.timeout(600),
    pytest.mark.parametrize("testbed", [Bus.ACTIVEMQ], indirect=True),
]

TOPIC = "/topic/epictopic"
COMMANDS = "/queue/workflow_control"
ANSWERS = "/queue/answers"


@pytest.fixture
def client(testbed: Testbed) -> Iterator[PlainClient]:
    client = PlainClient(engine("activemq", testbed.home).environment())
    yield client
    client.close()


def _closed(testbed: Testbed, run: int) -> bool:
    return testbed.lifecycle(run) == "closed"


def test_a_run_of_its_daq_is_registered_replicated_and_closed(testbed: Testbed, client: PlainClient) -> None:
    run = 102827
    daq = ForeignDaq(str(run), namespace="local")
    buffer = testbed.storage / "E0_BUFFER"
    for sequence in range(1, 11):
        daq.write(buffer, sequence, b"%d" % sequence * 1000)
    for message in daq.whole_run(10):
        client.send(TOPIC, message)
    wait_until(lambda: _closed(testbed, run), seconds=120, what="its run is closed")

    for sequence in range(1, 11):
        name = f"swf.{run}.{sequence:06d}.stf"
        original = adler32_file(buffer / name)
        assert {adler32_file(site_copy(testbed.storage, rse, name)) for rse in ("E1_BNL", "E1_JLAB")} == {
            original
        }
    assert testbed.rows("SELECT count(*) FROM agents_deadletter") == [(0,)]


def test_a_plain_subscriber_sees_every_message_of_our_runs(testbed: Testbed, client: PlainClient) -> None:
    client.subscribe(TOPIC)
    run = testbed.start_run("--workflow", "fast", "--stf-count", "5")

    def seen() -> list[dict[str, Any]]:
        return [message for message in client.came(TOPIC) if message["run_id"] == str(run)]

    wait_until(lambda: _closed(testbed, run), seconds=120, what="the run is closed")
    journal = testbed.rows(
        "SELECT kind, count(*) FROM runs_journalentry WHERE run_id = "
        "(SELECT id FROM runs_run WHERE run_number = %s) AND kind <> 'stf_released' GROUP BY kind",
        run,
    )
    expected = {kind: count for kind, count in journal if kind in MESSAGES} | {"stf_released": 5}
    wait_until(
        lambda: Counter(message["msg_type"] for message in seen()) == expected,
        seconds=60,
        what=f"the messages {expected}",
    )
    generated = next(message for message in seen() if message["msg_type"] == "stf_gen")
    existing = {"filename", "sequence", "state", "substate", "run_id", "namespace", "execution_id"}
    assert existing <= generated.keys()
    for body, headers in client.came_with_headers(TOPIC):
        selected = {name: headers[name] for name in ("msg_type", "namespace", "run_id")}
        assert selected == {name: body[name] for name in selected}


def _ask(client: PlainClient, testbed: Testbed, **command: Any) -> dict[str, Any]:
    """Send a command as the existing clients do; its answer."""
    before = len(client.came(ANSWERS))
    client.send(COMMANDS, {"namespace": "local", "reply_to": ANSWERS, **command})
    wait_until(lambda: len(client.came(ANSWERS)) > before, seconds=60, what=f"an answer to {command}")
    return client.came(ANSWERS)[-1]


def test_commands_are_obeyed_and_answered(testbed: Testbed, client: PlainClient) -> None:
    client.subscribe(ANSWERS)
    started = _ask(
        client,
        testbed,
        msg_type="run_workflow",
        workflow_name="stf_datataking",
        params={"stf_count": 1000, "stf_interval": 0.2},
    )
    assert started["status"] == "ok", started
    run = int(started["result"]["run_id"])
    wait_until(
        lambda: (
            run
            in {
                int(one["run_id"])
                for one in _ask(client, testbed, msg_type="status_request")["result"]["runs"]
            }
        ),
        seconds=60,
        what="the run is among those under way",
    )
    stopped = _ask(client, testbed, msg_type="stop_workflow")
    assert (stopped["status"], stopped["result"]["run_id"]) == ("ok", str(run))
    wait_until(lambda: _closed(testbed, run), seconds=120, what="the stopped run is closed")

    for own_id in ({}, {"msg_id": str(uuid4())}):
        refused = _ask(client, testbed, msg_type="run_workflow", workflow_name="no_such", **own_id)
        assert refused["status"] == "error"
        assert "workflow: 'no_such' is unknown; there are" in refused["reason"]


def test_a_command_for_another_testbed_waits_there_for_it(testbed: Testbed, client: PlainClient) -> None:
    theirs = f"{COMMANDS}.torre1"
    client.send(COMMANDS, {"msg_type": "run_workflow", "workflow_name": "fast", "namespace": "torre1"})
    client.subscribe(theirs)
    [command] = wait_until(lambda: client.came(theirs), seconds=60, what="the command in the other queue")

    assert (command["msg_type"], command["namespace"]) == ("run_workflow", "torre1")
    assert testbed.rows("SELECT count(*) FROM runs_namespace WHERE name = 'torre1'") == [(0,)]


def test_runs_of_another_testbed_are_counted_and_rubbish_is_parked(
    testbed: Testbed, client: PlainClient
) -> None:
    foreign = ForeignDaq("7", namespace="torre1")
    messages = foreign.whole_run(3)
    for message in messages:
        client.send(TOPIC, message)
    client.send(TOPIC, "{not json")
    client.send(TOPIC, {**foreign.stf_gen(1), "namespace": "local", "sequence": "one"})

    def counted() -> int:
        query = (
            "SELECT (counters->>'messages_of_other_namespaces')::int FROM agents_systemagent "
            "WHERE instance_name = 'data'"
        )
        return int(testbed.rows(query)[0][0] or 0)

    wait_until(
        lambda: counted() >= len(messages), seconds=60, what="the messages of the other namespace are counted"
    )
    reasons = wait_until(
        lambda: (
            len(found := testbed.rows("SELECT DISTINCT reason FROM agents_deadletter WHERE agent = 'data'"))
            > 1
            and found
        ),
        seconds=60,
        what="dead letters of two reasons",
    )
    assert ("a message is a JSON object, this is str: '{not json'",) in reasons
    assert any("sequence = 'one'" in reason for (reason,) in reasons)
    assert testbed.rows("SELECT count(*) FROM runs_run WHERE run_number = 7") == [(0,)]
