"""What becomes of parked messages: replayed once, parked again with the new reason, or discarded; never lost."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.agents import services
from apps.agents.bus.agent import LoopSpec
from apps.agents.bus.receive import receive
from apps.agents.bus.replays import replay_next
from apps.agents.bus.runtime import AgentRuntime
from apps.agents.daqsim import checkpoint
from apps.agents.models import DaqCheckpoint, DeadLetter, InboundMessage
from apps.agents.registry import agent_spec
from apps.runs.errors import DomainError, NotFound, RetryableError
from apps.runs.models import JournalEntry
from tests.factories import a_run
from tests.messages import a_message

from .letters import Handler, an_agent, parked, replay, unreadable
from .test_loop import FOR_EVER, until

pytestmark = pytest.mark.django_db


def states() -> list[str]:
    """Of all letters, oldest first."""
    return list(DeadLetter.objects.order_by("pk").values_list("state", flat=True))


def entries(kind: str) -> list[JournalEntry]:
    return list(JournalEntry.objects.filter(kind=kind).order_by("id"))


def outcome(letter: DeadLetter) -> tuple[str, int]:
    row = InboundMessage.objects.get(agent=letter.agent, msg_id=letter.msg_id)
    return row.outcome, row.attempts


def test_a_message_that_came_too_early_is_replayed_once_its_run_is_there() -> None:
    """The whole way with an agent of the testbed."""
    daqsim, run = agent_spec("daqsim"), a_run()
    body = a_message("pause_workflow", run_id=run.run_number)
    receive(daqsim, body, delivery_id=body["msg_id"])
    letter = DeadLetter.objects.get()
    assert letter.reason == f"the DAQ has no run {run.run_number}"
    checkpoint.take_on(run)

    assert services.request_replay([letter.pk], by="ann") == 1
    assert replay_next(daqsim, handled=lambda message: None)
    assert not replay_next(daqsim, handled=lambda message: None)

    assert DaqCheckpoint.objects.get().command == "pause"
    letter.refresh_from_db()
    assert (letter.state, letter.replays, letter.replay_requested_by) == ("replayed", 1, "ann")
    assert outcome(letter) == ("done", 1)


def test_a_replay_is_asked_for_once_and_in_the_journal() -> None:
    letter = parked(Handler())
    before = timezone.now()

    assert services.request_replay([letter.pk, letter.pk], by="ann") == 1
    assert services.request_replay([letter.pk], by="bob") == 0

    letter.refresh_from_db()
    assert (letter.state, letter.replay_requested_by) == ("requested", "ann")
    assert letter.replay_requested_at is not None
    assert letter.replay_requested_at >= before
    assert outcome(letter) == ("received", 0)
    [entry] = entries("message_replayed")
    assert (entry.actor, entry.subject) == ("ann", "pause_workflow")
    assert entry.payload == {
        "letter": letter.pk,
        "agent": "data",
        "msg_type": "pause_workflow",
        "reason": "the DAQ has no such run",
    }


def test_letters_are_replayed_oldest_first_and_each_wakes_its_work() -> None:
    handler = Handler()
    letters = [parked(handler, name) for name in "abc"]
    services.request_replay([letter.pk for letter in reversed(letters)], by="ann")

    assert replay(handler) == handler.handled == ["a", "b", "c"]
    assert states() == ["replayed"] * 3
    assert services.request_replay([letter.pk for letter in letters], by="ann") == 0
    assert replay(handler) == []


def test_what_is_parked_again_is_the_same_letter_with_the_new_reason() -> None:
    handler = Handler()
    letter = parked(handler)
    handler.trouble = DomainError("the DAQ is done with it")
    for replays in (1, 2):
        services.request_replay([letter.pk], by="ann")
        assert replay(handler) == []

        letter.refresh_from_db()
        assert (letter.state, letter.reason) == ("open", "the DAQ is done with it")
        assert (letter.replays, letter.replay_requested_at) == (replays, None)
        assert outcome(letter) == ("parked", 1)
        assert len(entries("message_parked")) == 1 + replays


@pytest.mark.parametrize(
    "body",
    ["{not json", "[1, 2]", '{"msg_type": "stf_gem"}', "[" * 100_000],
    ids=["text", "list", "unknown", "deep"],
)
def test_what_nobody_understands_is_parked_again(body: str) -> None:
    letter = unreadable(body)
    services.request_replay([letter.pk], by="ann")
    replay(Handler())

    assert states() == ["open"]
    letter.refresh_from_db()
    assert (letter.replays, letter.body) == (1, body)


def test_text_that_was_a_message_all_along_is_handled() -> None:
    """It came as text, because its sender had written JSON into JSON."""
    letter = unreadable('{"msg_type": "pause_workflow", "run_id": "7", "reason": "a"}')
    services.request_replay([letter.pk], by="ann")

    assert replay(Handler()) == ["a"]
    assert states() == ["replayed"]
    assert InboundMessage.objects.get().msg_id == letter.msg_id


def test_a_message_with_an_id_of_its_own_is_known_by_it_once_it_is_understood() -> None:
    handler = Handler(DomainError("no"))
    letter = unreadable(
        '{"msg_type": "pause_workflow", "run_id": "7", "msg_id": "018f3f2e-0000-7000-8000-000000000007"}'
    )
    services.request_replay([letter.pk], by="ann")
    replay(handler)

    assert states() == ["replayed", "open"]
    again = DeadLetter.objects.get(state="open")
    assert (str(again.msg_id)[-1], again.reason) == ("7", "no")


def test_what_cannot_be_handled_now_stays_asked_for_with_the_reason() -> None:
    handler = Handler(RetryableError("Rucio is away"))
    parked(handler, "a"), parked(handler, "b")
    services.request_replay(DeadLetter.objects.values_list("pk", flat=True), by="ann")
    with pytest.raises(RetryableError, match="Rucio is away"):
        replay(handler)
    assert states() == ["requested", "requested"]

    handler.trouble = None
    assert replay(handler) == ["a", "b"]


@pytest.mark.parametrize(
    ("trouble", "last"),
    [
        (SystemExit(), "it ended its worker"),
        (RetryableError("Rucio is away"), "Rucio is away"),
        (ZeroDivisionError("a bug"), "ZeroDivisionError: a bug"),
    ],
)
def test_a_letter_that_fails_five_times_is_given_up_and_the_next_has_its_turn(
    trouble: BaseException, last: str
) -> None:
    handler = Handler(trouble)
    letter, healthy = parked(handler), parked(handler, "healthy")
    InboundMessage.objects.update(reason="")
    services.request_replay([letter.pk, healthy.pk], by="ann")
    for _ in range(services.MAX_ATTEMPTS):
        with pytest.raises((SystemExit, RetryableError)):
            replay(handler)
        assert states() == ["requested", "requested"]
    handler.trouble = None

    assert replay(handler) == ["healthy"]
    assert states() == ["open", "replayed"]
    letter.refresh_from_db()
    assert letter.reason == f"given up after 5 attempts; the last: {last}"


def test_an_agent_killed_between_effect_and_letter_finds_the_effect_done() -> None:
    handler = Handler()
    letter = parked(handler, "a")
    services.request_replay([letter.pk], by="ann")
    receive(an_agent(handler), letter.decoded_body, delivery_id=letter.msg_id)
    assert states() == ["requested"]

    replay(handler)
    assert handler.handled == ["a"]
    assert states() == ["replayed"]


def test_each_agent_takes_up_its_own_letters_only() -> None:
    other = unreadable(agent="daqsim")
    services.request_replay([other.pk], by="ann")

    assert replay(Handler()) == []
    assert states() == ["requested"]


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        ("relay", "it is a journal entry that makes no valid message"),
        ("nobody", "there is no agent 'nobody', there are daqsim, data"),
    ],
)
def test_a_letter_without_an_agent_is_not_replayed_nor_are_those_asked_for_with_it(
    agent: str, said: str
) -> None:
    fine, bad = parked(Handler()), unreadable(agent=agent)
    with pytest.raises(DomainError, match=f"dead letter {bad.pk} cannot be replayed: {said}"):
        services.request_replay([fine.pk, bad.pk], by="ann")

    assert states() == ["open", "open"]
    assert not entries("message_replayed")
    assert services.discard([bad.pk], by="ann", reason="mended") == 1


def test_a_letter_that_does_not_exist_is_named() -> None:
    letter = parked(Handler())
    for act in (
        lambda ids: services.request_replay(ids, by="ann"),
        lambda ids: services.discard(ids, by="ann", reason="x"),
    ):
        with pytest.raises(NotFound, match=f"there is no dead letter 0, {10**20}"):
            act([10**20, letter.pk, 0])
    assert states() == ["open"]


def test_a_discarded_letter_is_kept_with_name_and_reason_and_may_still_be_replayed() -> None:
    handler = Handler()
    letter = parked(handler, "a")

    assert services.discard([letter.pk], by="ann", reason="sent by mistake") == 1
    assert services.discard([letter.pk], by="bob", reason="I agree") == 0
    letter.refresh_from_db()
    assert (letter.state, letter.discarded_by, letter.discarded_reason) == (
        "discarded",
        "ann",
        "sent by mistake",
    )
    [entry] = entries("message_discarded")
    assert (entry.actor, entry.payload["reason"]) == ("ann", "sent by mistake")

    services.request_replay([letter.pk], by="bob")
    assert replay(handler) == ["a"]
    assert states() == ["replayed"]


def test_discarding_takes_back_a_replay() -> None:
    handler = Handler()
    letter = parked(handler)
    services.request_replay([letter.pk], by="ann")
    services.discard([letter.pk], by="bob", reason="better not")

    assert replay(handler) == []
    assert states() == ["discarded"]
    assert outcome(letter)[0] == "parked"


def test_what_was_replayed_is_not_discarded() -> None:
    handler = Handler()
    letter = parked(handler)
    services.request_replay([letter.pk], by="ann")
    replay(handler)
    with pytest.raises(DomainError, match=f"dead letter {letter.pk} was replayed"):
        services.discard([letter.pk], by="ann", reason="x")


@pytest.mark.parametrize(("by", "reason"), [("", "why"), ("ann", " "), ("", "")])
def test_a_name_and_a_reason_are_needed(by: str, reason: str) -> None:
    letter = parked(Handler())
    with pytest.raises(DomainError, match="needs a name"):
        services.discard([letter.pk], by=by, reason=reason)
    with pytest.raises(DomainError, match="needs a name"):
        services.request_replay([letter.pk], by="")


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "lost"},
        {"state": "requested"},
        {"state": "replayed"},
        {"state": "discarded"},
        {"replayed_at": timezone.now()},
        {"state": "requested", "replay_requested_at": timezone.now()},
        {"state": "discarded", "discarded_at": timezone.now(), "discarded_by": "ann"},
    ],
)
def test_the_database_keeps_state_times_and_names_together(fields: dict[str, Any]) -> None:
    parked(Handler())
    with pytest.raises(IntegrityError, match="dead_letter_"), transaction.atomic():
        DeadLetter.objects.update(**fields)


@pytest.mark.django_db(transaction=True)
def test_of_two_who_ask_at_once_one_is_heard() -> None:
    letter = parked(Handler())
    ready, counts = threading.Barrier(2, timeout=60), []

    def ask(by: str) -> None:
        ready.wait()
        counts.append(services.request_replay([letter.pk], by=by))
        connection.close()

    threads = [threading.Thread(target=ask, args=(by,)) for by in ("ann", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(counts) == [0, 1]
    assert len(entries("message_replayed")) == 1


@pytest.mark.django_db(transaction=True)
def test_a_running_agent_takes_up_replays_says_why_it_waits_and_wakes_its_work() -> None:
    handler = Handler(RetryableError("Rucio is away"))
    letter = parked(handler, "a")
    worked = threading.Event()
    idle = LoopSpec("work", lambda: bool(handler.handled and worked.set()), interval=FOR_EVER)
    agent = AgentRuntime(an_agent(handler, idle))
    agent.start()
    try:
        services.request_replay([letter.pk], by="ann")
        until(lambda: agent.waiting_for)
        assert agent.waiting_for == "replays: Rucio is away"
        handler.trouble = None
        until(lambda: states() == ["replayed"])
        assert worked.wait(60)
        until(lambda: not agent.waiting_for)
    finally:
        agent.stop()
