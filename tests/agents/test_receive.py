"""A message in the hands of an agent: handled once, or parked once, as it came, with a reason one can act on."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings

from apps.agents.bus.agent import AgentSpec
from apps.agents.bus.receive import receive
from apps.agents.bus.relay import as_message
from apps.agents.bus.schemas import StfGen
from apps.agents.models import DaqCheckpoint, DeadLetter, InboundMessage
from apps.agents.registry import agent_spec
from apps.runs.models import JournalEntry, Run
from apps.stf import services as stfs
from apps.stf.models import StfFile
from tests.factories import a_run, a_running_run, ended, kinds
from tests.messages import a_message

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]

DATA, DAQSIM = agent_spec("data"), agent_spec("daqsim")
DELIVERY = UUID("018f3f2e-0000-7000-8000-000000000001")


def give(agent: AgentSpec, body: Any, *, delivery_id: UUID = DELIVERY) -> DeadLetter | None:
    """Deliver a message; the dead letter if it was parked."""
    receive(agent, body, delivery_id=delivery_id)
    return DeadLetter.objects.first()


def an_stf_gen(run: Run, **changes: Any) -> dict[str, Any]:
    file = {
        "file_url": str(settings.SWF_E0_BUFFER / "swf.100010.000001.stf"),
        "size_bytes": 2000,
        "checksum": "0a1b2c3d",
    }
    return a_message("stf_gen", **{"run_id": str(run.run_number), **file, **changes})


@pytest.mark.parametrize("place", ["/etc/passwd", "{buffer}/../elsewhere.stf", "relative.stf"])
def test_an_stf_outside_the_exit_buffer_is_parked(place: str) -> None:
    file_url = place.format(buffer=settings.SWF_E0_BUFFER)

    letter = give(DATA, an_stf_gen(a_running_run(), file_url=file_url))

    assert letter is not None
    assert "is not in the exit buffer" in letter.reason
    assert file_url in letter.reason


def parked(agent: AgentSpec, body: Any) -> str:
    """The reason for which the message is parked: once, as it came, however often it is delivered."""
    letters = []
    for _ in range(3):
        letters.append(give(agent, body))
    [letter] = DeadLetter.objects.all()
    assert letters == [letter] * 3
    assert letter.body == (body if isinstance(body, str) else json.dumps(body))
    assert JournalEntry.objects.filter(kind="message_parked").count() == 1
    assert not StfFile.objects.exists()
    return letter.reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ([1, 2], "a message is a JSON object, this is list: [1, 2]"),
        ("{'msg_type'", "a message is a JSON object, this is str: \"{'msg_type'\""),
        (None, "a message is a JSON object, this is NoneType: None"),
        ({}, "msg_type is missing or no text: None"),
        ({"msg_type": 7}, "msg_type is missing or no text: 7"),
        ({"msg_type": "stf_gem"}, "msg_type 'stf_gem' is not in the vocabulary, did you mean 'stf_gen'?"),
        ({"msg_type": "zzz"}, "msg_type 'zzz' is not in the vocabulary"),
        ({"msg_type": "x" * 500}, f"msg_type '{'x' * 500}' is not in the vocabulary"),
    ],
)
@pytest.mark.parametrize("agent", [DATA, DAQSIM], ids=["data", "daqsim"])
def test_what_is_no_message_is_parked(agent: AgentSpec, body: Any, reason: str) -> None:
    assert parked(agent, body) == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sequence": ..., "filename": "1.stf"}, "sequence: Field required"),
        ({"sequence": "one"}, "sequence = 'one': Input should be a valid integer"),
        ({"sequence": 0}, "sequence = 0: Input should be greater than or equal to 1"),
        ({"sequence": 2**31}, f"sequence = {2**31}: Input should be less than or equal to {2**31 - 1}"),
        ({"size_bytes": -1}, "size_bytes = -1: Input should be greater than or equal to 0"),
        ({"size_bytes": 2**63}, f"size_bytes = {2**63}: Input should be less than or equal to {2**63 - 1}"),
        ({"checksum": "ABC"}, "checksum = 'ABC': String should match pattern"),
        ({"filename": "../../etc/passwd"}, "filename = '../../etc/passwd': String should match pattern"),
        ({"filename": None}, "filename = None: Input should be a valid string"),
        ({"file_url": "x" * 1001}, "file_url = 'xxx"),
        ({"file_url": "/a\0b"}, "file_url = '/a\\x00b': "),
        ({"tf_count": 2**31}, f"tf_count = {2**31}: Input should be less than or equal to"),
        ({"run_id": "ten"}, "run_id = 'ten': String should match pattern"),
        ({"run_id": "9" * 30}, f"run_id = '{'9' * 30}': String should match pattern"),
        ({"run_id": ...}, "run_id: Field required"),
        ({"msg_id": "seven"}, "msg_id = 'seven': Input should be a valid UUID"),
        ({"start": "yesterday"}, "start = 'yesterday': Input should be a valid datetime"),
    ],
)
def test_a_wrong_field_is_named_with_its_value(changes: dict[str, Any], reason: str) -> None:
    body = an_stf_gen(a_running_run(), **changes)

    assert parked(DATA, body).startswith(f"stf_gen: {reason}")


def test_every_wrong_field_is_named_at_once() -> None:
    reason = parked(DATA, an_stf_gen(a_running_run(), sequence="one", checksum=7))

    assert "sequence = 'one'" in reason
    assert "checksum = 7" in reason


def test_an_stf_for_an_unknown_run_is_parked() -> None:
    path = settings.SWF_E0_BUFFER / "swf.100010.000001.stf"
    path.touch()
    assert parked(DATA, a_message("stf_gen", run_id="7", file_url=str(path))) == "there is no run 7"


def test_an_stf_for_a_closed_run_is_parked_with_the_way_out() -> None:
    run = ended(a_running_run(), count=3)
    stfs.force_close(run.run_number, by="ann", reason="no more to come")
    body = an_stf_gen(run)
    reason = give(DATA, body).reason  # type: ignore[union-attr]

    assert reason.startswith(f"run: {run.run_number} is closed: it takes no more STFs; a corrected end_run")


def test_a_known_sequence_with_other_bytes_is_parked_with_both_values() -> None:
    run = a_running_run()
    give(DATA, an_stf_gen(run))
    letter = give(DATA, an_stf_gen(run, checksum="00000001"))

    assert letter is not None
    assert letter.reason == (
        f"sequence: 1 of run {run.run_number} is taken by another file: checksum='00000001' (known: '0a1b2c3d')"
    )
    assert StfFile.objects.get().checksum == "0a1b2c3d"


@pytest.mark.parametrize(
    ("pair", "named"), [(("off", "physics"), "off/physics"), (("cosmics", ""), "cosmics"), (("", ""), "")]
)
def test_an_illegal_core_state_is_parked(pair: tuple[str, str], named: str) -> None:
    reason = parked(DATA, an_stf_gen(a_running_run(), state=pair[0], substate=pair[1]))

    assert reason.startswith(f"state: {named!r} is no legal pair of state and substate; states are off,")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (a_message("run_workflow", workflow_name="slow"), "workflow: 'slow' is unknown; there are"),
        (a_message("run_workflow", config="../secret.toml"), "workflow: '../secret.toml' is unknown"),
        (a_message("run_workflow", params={"stf_cuont": 3}), "unknown key, did you mean"),
        (a_message("run_workflow", params={"stf_count": 0}), "stf_count = 0: should be greater than"),
        (
            a_message("run_workflow", params={"size_bytes": 100}),
            "stf.size_bytes: 100 is too small: an STF of 100 TFs has",
        ),
        (a_message("run_workflow", run_id="7"), "there is no run 7"),
        (a_message("run_workflow", namespace="x" * 101), "namespace = 'xxx"),
        (a_message("pause_workflow", run_id="7"), "the DAQ has no run 7"),
    ],
)
def test_a_wish_that_the_daq_cannot_grant_is_parked(body: dict[str, Any], reason: str) -> None:
    assert reason in parked(DAQSIM, body)
    assert not Run.objects.exists()


def test_nothing_else_stops_because_of_a_bad_message() -> None:
    run = a_running_run()
    give(DATA, an_stf_gen(run, sequence="one"))
    give(DATA, an_stf_gen(run))

    assert StfFile.objects.get().sequence == 1


@pytest.mark.parametrize(
    "body",
    ["not\0text", "\ud800", {"msg_type": "a\0b"}, {"msg_type": "\ud800"}, {"msg_type": "stf_gen", "\0": 1}],
)
def test_what_a_database_cannot_store_is_parked_all_the_same(body: Any) -> None:
    receive(DATA, body, delivery_id=DELIVERY)

    assert DeadLetter.objects.count() == 1


def test_a_message_has_one_effect_however_often_it_is_delivered() -> None:
    run = a_running_run()
    body = an_stf_gen(run)
    for _ in range(3):
        message = receive(DATA, body, delivery_id=uuid4())
        assert isinstance(message, StfGen)

    assert StfFile.objects.count() == 1
    [inbound] = InboundMessage.objects.all()
    assert (inbound.agent, inbound.outcome, inbound.attempts) == ("data", "done", 1)
    assert inbound.run_number == run.run_number


def test_a_message_without_id_is_known_by_its_delivery() -> None:
    body = an_stf_gen(a_running_run(), msg_id=...)
    for _ in range(2):
        receive(DATA, body, delivery_id=DELIVERY)

    assert InboundMessage.objects.get().msg_id == DELIVERY


def test_a_message_for_somebody_else_is_ignored() -> None:
    give(DATA, a_message("stf_releasable"))

    assert InboundMessage.objects.get().outcome == "ignored"
    assert not DeadLetter.objects.exists()


def test_each_agent_handles_a_message_by_itself() -> None:
    run = a_run()
    body = a_message("run_workflow", run_id=run.run_number)
    for agent in (DATA, DAQSIM):
        receive(agent, body, delivery_id=DELIVERY)

    assert DaqCheckpoint.objects.get().run == run
    assert set(InboundMessage.objects.values_list("agent", "outcome")) == {
        ("data", "ignored"),
        ("daqsim", "done"),
    }


def test_what_another_system_says_is_in_the_journal_as_it_said_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "SWF_NAMESPACES", ["mine"])
    body = a_message("run_workflow", sender="ann", namespace="mine")
    receive(DAQSIM, body, delivery_id=DELIVERY)

    entry = JournalEntry.objects.get(kind="run_workflow")
    assert (str(entry.msg_id), str(entry.correlation_id)) == (body["msg_id"], body["msg_id"])
    assert (entry.heard, as_message(entry)) == (True, None)
    assert (entry.actor, entry.run.execution.executed_by, entry.run.namespace.name) == ("ann", "ann", "mine")  # type: ignore[union-attr]


def a_run_of_another_daq() -> Run:
    """It takes data."""
    for msg_type in ("run_imminent", "start_run"):
        receive(DATA, a_message(msg_type, run_id="7"), delivery_id=uuid4())
    return Run.objects.get(run_number=7)


@pytest.mark.parametrize("closed", [False, True])
def test_an_end_that_is_heard_of_a_run_of_our_own_daq_is_parked_with_the_way_out(closed: bool) -> None:
    run = a_running_run()
    if closed:
        stfs.force_close(ended(run, count=3).run_number, by="ann", reason="no more to come")
    run.refresh_from_db()
    before = (run.lifecycle, run.expected_stf_count)
    said = a_message("end_run", run_id=run.run_number, total_stf_files=12)
    reason = parked(DATA, said)

    assert reason.startswith(f"end_run: run {run.run_number} is one of this testbed's own DAQ")
    assert "control_run RUN close" in reason
    run.refresh_from_db()
    assert (run.lifecycle, run.expected_stf_count) == before


def test_a_settled_run_of_another_daq_is_opened_by_a_correction() -> None:
    run = ended(a_run_of_another_daq(), count=3)
    stfs.force_close(run.run_number, by="ann", reason="no more to come")
    receive(DATA, a_message("end_run", run_id="7", total_stf_files=4), delivery_id=uuid4())

    run.refresh_from_db()
    assert (run.lifecycle, run.expected_stf_count) == ("incomplete", 4)


def test_two_corrections_in_a_row_settle_at_the_last() -> None:
    """What the data agent says itself comes back to it; it must not undo what was said since."""
    run = ended(a_run_of_another_daq(), count=10)
    seen = set()
    for count in (12, 13):
        receive(DATA, a_message("end_run", run_id=run.run_number, total_stf_files=count), delivery_id=uuid4())
    for _ in range(3):
        for entry in run.journal.filter(kind="end_run").exclude(pk__in=seen):
            seen.add(entry.pk)
            body = a_message("end_run", run_id=run.run_number, msg_id=str(entry.msg_id), **_count(entry))
            receive(DATA, body, delivery_id=uuid4())

    run.refresh_from_db()
    assert run.expected_stf_count == 13
    assert kinds(run, "end_run") == ["end_run"] * 3


def _count(entry: JournalEntry) -> dict[str, int]:
    return {"total_stf_files": entry.payload["total_stf_files"]}
