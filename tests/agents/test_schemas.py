"""The vocabulary of the bus: every type has a sample, agents handle nothing else, and what the services write is valid."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from apps.agents.bus.agent import AgentSpec
from apps.agents.bus.relay import as_message
from apps.agents.bus.vocabulary import MESSAGES
from apps.agents.daqsim.checkpoint import take_on
from apps.agents.daqsim.driver import RunDriver
from apps.agents.models import DeadLetter
from apps.agents.registry import AGENTS, agent_spec
from apps.runs import journal
from apps.runs import services as runs
from apps.runs.models import JournalEntry, Run
from apps.stf import services as stfs
from apps.stf.choices import ReplicaState
from tests.factories import (
    STANDBY,
    TO_PHYSICS,
    a_run,
    an_stf,
    change_replicas,
    ended,
    generated,
    registered,
    verified,
)
from tests.messages import SAMPLES, a_message
from tests.processing import attach, process
from tests.slices import a_sliced_run, done

AGENT_SPECS = [agent_spec(name) for name in AGENTS]


def test_there_is_a_sample_of_every_message() -> None:
    assert SAMPLES.keys() == MESSAGES.keys()


@pytest.mark.parametrize("msg_type", MESSAGES)
def test_the_sample_is_valid_and_keeps_fields_that_are_unknown(msg_type: str) -> None:
    message = MESSAGES[msg_type].model_validate(a_message(msg_type, shift_leader="ann"))

    assert message.model_dump()["shift_leader"] == "ann"
    assert message.run_number == (100010 if "run_id" in SAMPLES[msg_type] else None)


@pytest.mark.parametrize(
    ("msg_type", "field"), [(msg_type, field) for msg_type, sample in SAMPLES.items() for field in sample]
)
def test_the_sample_has_nothing_that_can_be_left_out(msg_type: str, field: str) -> None:
    with pytest.raises(ValidationError, match=f"{field}\n  Field required"):
        MESSAGES[msg_type].model_validate(a_message(msg_type, **{field: ...}))


@pytest.mark.parametrize("agent", AGENT_SPECS, ids=AGENTS)
def test_an_agent_handles_messages_of_the_vocabulary_and_wakes_loops_it_has(agent: AgentSpec) -> None:
    assert set(agent.msg_types) <= MESSAGES.keys()
    assert set(agent.wakes) <= set(agent.handlers)
    assert set(agent.wakes.values()) <= {loop.name for loop in agent.loops}


# Question and answer, a slice on its way to a worker and back: these are no changes.
PAST_THE_JOURNAL = {"status_request", "reply", "slice", "slice_result", "worker_heartbeat"}


def a_whole_run() -> Run:
    """A run in which everything happens that a service can say."""
    run = a_run(stf_count=4, policy="both")
    for pair in TO_PHYSICS:
        runs.advance(run.run_number, pair, message={"dataset": "swf.run"} if pair[0] == "beam" else None)
    for control in ("pause", "resume"):
        runs.control_run(run.run_number, control, by="ann", reason="beam is bad")
    for pair in (STANDBY, ("run", "physics")):
        runs.advance(run.run_number, pair, message={"reason": "beam is bad"})
    for sequence in (1, 2, 3, 4):
        an_stf(run, sequence)
    safe, failing, bad, late = run.stf_files.order_by("sequence")
    stfs.mark_registration_failed(run, {bad.pk: "the file is truncated", late.pk: "the file is missing"})
    registered(failing)
    change_replicas([failing], ReplicaState.TRANSFERRING)
    change_replicas([failing], ReplicaState.FAILED, reason="no space left")
    verified(safe)
    stfs.mark_released(run, [safe.pk])
    attach()
    process(run, [1])
    runs.control_run(run.run_number, "abort", by="ann")
    runs.control_run(run.run_number, "stop", by="ann", reason="shift is over")
    stfs.evaluate(ended(run, count=4, reason="shift is over"))
    verified(failing)
    stfs.retry_registration(bad)
    stfs.record_generated(run.run_number, generated(run, 4))
    stfs.close_dataset(run.dataset)
    stfs.force_close(run.run_number, by="ann", reason="no more to come")
    ended(run, count=5)
    return run


def a_run_with_slices() -> Run:
    """A run whose fast path goes from the first word to the last."""
    run = a_sliced_run()
    stfs.announce_workers(run)
    while claimed := stfs.claim_slices(3):
        done(*claimed)
    registered(*run.stf_files.all())
    assert stfs.mark_drained(ended(run, count=1), stop=["worker-1"])
    return run


def a_simulated_run() -> Run:
    """A run as the DAQ drives it, with the messages that only the DAQ writes."""
    run = a_run(physics_period_count=2)
    take_on(run)
    driver = RunDriver(run)
    while driver.step():
        pass
    return run


@pytest.mark.django_db
def test_everything_that_is_said_in_a_run_makes_a_valid_message(exit_buffer: object) -> None:
    a_whole_run()
    a_run_with_slices()
    a_simulated_run()
    entries = JournalEntry.objects.select_related("run__execution", "namespace")
    messages = [message for entry in entries if (message := as_message(entry))]

    assert {message["msg_type"] for message in messages} == MESSAGES.keys() - PAST_THE_JOURNAL
    assert not DeadLetter.objects.exists()
    for message in messages:
        run = Run.objects.get(run_number=message["run_id"])
        assert message["execution_id"] == run.execution.execution_id
        assert message["namespace"] == "test"
        assert message["sender"]
        assert message["occurred_at"]


@pytest.mark.django_db
def test_an_entry_that_makes_no_message_is_parked_and_holds_up_no_other() -> None:
    entry = journal.record(journal.Change("end_run", run=a_run(), payload={"total_stf_files": "many"}))

    assert as_message(entry) is None
    letter = DeadLetter.objects.get()
    assert (letter.agent, letter.msg_type) == ("relay", "end_run")
    assert "total_stf_files" in letter.reason
