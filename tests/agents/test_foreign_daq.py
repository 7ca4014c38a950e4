"""A DAQ of the existing swf system announces its run in its own words: the run is taken over, registered and closed."""

from __future__ import annotations

import zlib
from typing import Any
from uuid import UUID, uuid5

import pytest
from django.conf import settings
from django.db import transaction

from apps.agents.bus.outgoing import message_of
from apps.agents.bus.receive import Delivery, receive_batch
from apps.agents.bus.relay import as_message
from apps.agents.bus.runtime import AgentRuntime
from apps.agents.data.closer import Closer
from apps.agents.data.follower import Follower
from apps.agents.data.registrar import Registrar
from apps.agents.models import DaqCheckpoint, DeadLetter, SystemAgent
from apps.agents.registry import agent_spec
from apps.runs.journal import Change, record
from apps.runs.models import Namespace, Run
from apps.runs.services import announce_run, open_namespace
from tests.agents.catalogue import lifecycle, settle
from tests.agents.foreign_daq import ForeignDaq
from tests.factories import a_run, kinds
from tests.fakes.rucio import FakeRucio
from tests.processing import JLAB, attach, process

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]

DATA = agent_spec("data")
# What the broker gives a message that has no id.
BROKER = UUID("018f3f2e-0000-7000-8000-000000000001")
CHANGES = ["run_imminent", "start_run", "stf_gen", "stf_gen", "pause_run", "resume_run", "stf_gen", "end_run"]


def deliveries(messages: list[dict[str, Any]]) -> list[Delivery]:
    return [Delivery(body, uuid5(BROKER, str(n))) for n, body in enumerate(messages)]


def a_foreign_run(run_id: str = "102827") -> tuple[ForeignDaq, list[Delivery]]:
    """A run of three STFs, each in another of the places where producers put them."""
    daq = ForeignDaq(run_id, namespace=settings.SWF_NAMESPACE)
    buffer = settings.SWF_E0_BUFFER
    for sequence, place in enumerate([buffer, buffer / run_id, buffer / f"swf.{run_id}.run"], start=1):
        daq.write(place, sequence, b"x" * sequence)
    return daq, deliveries(daq.whole_run(3))


@pytest.mark.parametrize("together", [True, False])
def test_its_run_is_taken_over_registered_processed_and_closed(
    together: bool, registrar: Registrar, rucio: FakeRucio, follower: Follower, closer: Closer
) -> None:
    _, messages = a_foreign_run()
    for batch in [messages] if together else [[one] for one in messages]:
        receive_batch(DATA, batch)
    settle(registrar, rucio, follower, closer)
    run = Run.objects.get()
    attach()
    process(run, [1, 3])
    process(run, [2], site=JLAB)
    closer.step()

    assert (run.run_number, run.execution.execution_id) == (102827, "stf_datataking-ann-0049")
    assert (run.expected_stf_count, lifecycle(run)) == (3, "closed")
    assert [stf.checksum for stf in run.stf_files.all()] == [
        f"{zlib.adler32(b'x' * n):08x}" for n in (1, 2, 3)
    ]
    assert [stf.size_bytes for stf in run.stf_files.all()] == [1, 2, 3]
    assert kinds(run, *CHANGES) == CHANGES
    assert not DeadLetter.objects.exists()
    assert not DaqCheckpoint.objects.exists()


def test_what_it_said_is_not_said_again() -> None:
    _, messages = a_foreign_run()
    receive_batch(DATA, messages)
    run = Run.objects.get()

    said = run.journal.filter(kind__in=CHANGES)
    assert {entry.msg_id for entry in said} == {delivery.delivery_id for delivery in messages}
    assert {entry.actor for entry in said} == {"daq_simulator-agent-ann-12"}
    assert [as_message(entry) for entry in said] == [None] * len(CHANGES)
    assert [entry.stream_sequence for entry in said] == list(range(1, len(CHANGES) + 1))


def test_heard_again_it_changes_nothing() -> None:
    _, messages = a_foreign_run()
    for _ in range(2):
        receive_batch(DATA, messages)
    receive_batch(DATA, [Delivery(one.body, uuid5(one.delivery_id, "resent")) for one in messages[:4]])

    run = Run.objects.get()
    assert kinds(run, *CHANGES) == CHANGES
    assert run.stf_files.count() == 3


def test_our_own_numbers_step_over_its() -> None:
    first = a_run()
    receive_batch(DATA, a_foreign_run(str(first.run_number + 1))[1])

    assert a_run().run_number == first.run_number + 2


def test_an_older_daq_is_understood_too() -> None:
    """Other names, no states, a decimal checksum, times without separators, the sequence only in the name."""
    run_id, path = "123", settings.SWF_E0_BUFFER / "swf.000123.000001.stf"
    path.write_bytes(b"abc")
    stf = {
        "msg_type": "stf_gen",
        "run_id": run_id,
        "state": "run",
        "substate": "physics",
        "filename": path.name,
        "start": "20260701120000000000",
        "end": "20260701120000600000",
        "checksum": f"ad:{zlib.adler32(b'abc')}",
        "size": 3,
        "req_id": 1,
    }
    conditions = {"beam_energy": "5 GeV", "magnetic_field": "1.5T"}
    imminent = {
        "msg_type": "run_imminent",
        "req_id": 1,
        "run_id": run_id,
        "ts": "x",
        "run_conditions": conditions,
    }
    start = {"msg_type": "start_run", "req_id": 1, "run_id": run_id, "ts": "20260701120000000000"}
    receive_batch(DATA, deliveries([imminent, start, stf]))

    run = Run.objects.get()
    assert (run.lifecycle, run.run_conditions) == ("running", conditions)
    [known] = run.stf_files.all()
    assert (known.sequence, known.checksum, known.size_bytes) == (1, f"{zlib.adler32(b'abc'):08x}", 3)
    assert known.end_time is not None
    assert known.begin_time is not None
    assert (known.end_time - known.begin_time).total_seconds() == pytest.approx(0.6)


def test_a_file_that_is_nowhere_is_parked_with_the_places() -> None:
    daq, messages = a_foreign_run()
    receive_batch(DATA, [*messages[:2], Delivery(daq.stf_gen(9), BROKER)])

    [letter] = DeadLetter.objects.all()
    assert letter.reason.startswith(
        "filename: there is no file 'swf.102827.000009.stf' in the exit buffer (looked in"
    )


def test_a_state_that_no_way_leads_to_is_parked() -> None:
    daq, messages = a_foreign_run()
    receive_batch(DATA, [messages[0], Delivery(daq.say("resume_run") | {"state": "test"}, BROKER)])

    [letter] = DeadLetter.objects.all()
    assert "test/physics" in letter.reason


def test_messages_of_another_testbed_are_counted_and_nothing_else() -> None:
    daq = ForeignDaq("7", namespace="elsewhere")
    agent = AgentRuntime(DATA)
    results = agent.receive(deliveries(daq.whole_run(3)))
    agent._beat()

    assert results == [None] * len(CHANGES)
    assert not Run.objects.exists()
    assert not DeadLetter.objects.exists()
    assert not Namespace.objects.exists()
    counters = SystemAgent.objects.get().counters
    assert (counters["messages"], counters["messages_of_other_namespaces"]) == (8, 8)


def test_a_namespace_is_not_ours_because_we_know_of_it() -> None:
    open_namespace("elsewhere", owner="ann", by="ann")
    daq = ForeignDaq("7", namespace="elsewhere")

    assert AgentRuntime(DATA).receive(deliveries([daq.say("run_imminent")])) == [None]
    assert not Run.objects.exists()


def test_other_namespaces_are_served_if_the_testbed_is_told_so(settings: Any) -> None:
    settings.SWF_NAMESPACES = ["elsewhere"]
    daq = ForeignDaq("7", namespace="elsewhere")
    [result] = AgentRuntime(DATA).receive(deliveries([daq.say("run_imminent")]))

    assert result is not None
    assert Run.objects.get().namespace.name == "elsewhere"


def test_what_our_own_journal_says_is_ours_whatever_its_namespace() -> None:
    """As of a run that was announced over REST in a namespace of its agents."""
    run, _ = announce_run(7, by="ann", namespace="torre1")
    with transaction.atomic():
        own = message_of(record(Change("end_run", run=run, payload={"total_stf_files": 1})))
    assert own is not None
    strangers = own | {"msg_id": str(uuid5(BROKER, "another"))}

    first, second = AgentRuntime(DATA).receive([Delivery(body, BROKER) for body in (own, strangers)])
    assert (first is not None, second) == (True, None)
