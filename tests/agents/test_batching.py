"""Messages that come together: handled in one transaction if all is well, each on its own account if it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kombu import Connection, Consumer, Queue

from apps.agents import tasks
from apps.agents.bus import batching, worker
from apps.agents.bus.agent import AgentSpec
from apps.agents.bus.batching import Batching
from apps.agents.bus.receive import Again, Delivery, Result, receive_batch
from apps.agents.bus.runtime import AgentRuntime
from apps.agents.bus.schemas import PauseWorkflow, ResumeWorkflow
from apps.agents.models import DeadLetter, InboundMessage
from apps.runs.errors import DomainError, RetryableError
from apps.runs.journal import Cause
from apps.runs.models import Namespace
from swf_site.celery import app
from tests.messages import a_message

Handler = Callable[[PauseWorkflow], None]


def an_agent(handler: Handler) -> AgentSpec:
    return AgentSpec("odd", "TEST", "for tests", handlers={PauseWorkflow: handler}, loops=())


def write(message: PauseWorkflow) -> None:
    """The effect: a row, which may exist only once."""
    Namespace.objects.create(name=message.reason)


def written() -> list[str]:
    return list(Namespace.objects.order_by("id").values_list("name", flat=True))


def say(reason: str) -> Delivery:
    return Delivery(a_message("pause_workflow", run_id="1", reason=reason, msg_id=str(uuid4())), uuid4())


def unnamed() -> Delivery:
    """A message that brings no id."""
    body = a_message("pause_workflow", run_id="1", reason="because")
    return Delivery({name: value for name, value in body.items() if name != "msg_id"}, uuid4())


def outcomes() -> list[tuple[int, str]]:
    rows = InboundMessage.objects.order_by("id")
    return [(row.attempts, row.outcome) for row in rows]


def types(results: list[Result]) -> list[str]:
    return [type(result).__name__ for result in results]


@pytest.mark.django_db
def test_new_messages_share_their_statements() -> None:
    counts = []
    for size in (2, 50):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            results = receive_batch(an_agent(write), [say(f"{size}-{n}") for n in range(size)])
        assert types(results) == ["PauseWorkflow"] * size
        counts.append(len(queries) - size)

    assert counts[0] == counts[1] <= 6
    assert written() == [f"2-{n}" for n in range(2)] + [f"50-{n}" for n in range(50)]
    assert set(outcomes()) == {(1, "done")}


@pytest.mark.django_db
def test_a_lone_message_is_looked_at_once_and_asks_only_what_it_must() -> None:
    with CaptureQueriesContext(connection) as queries:
        receive_batch(an_agent(lambda message: None), [unnamed()])
    sql = [query["sql"].split()[0] for query in queries]

    assert [word for word in sql if word not in ("SAVEPOINT", "RELEASE")] == ["INSERT"]
    assert outcomes() == [(1, "done")]


@pytest.mark.django_db
def test_messages_of_a_type_in_a_row_are_handled_in_bulk_and_in_order() -> None:
    seen: list[list[str]] = []

    def in_bulk(messages: Sequence[PauseWorkflow], causes: Sequence[Cause]) -> None:
        seen.append([message.reason for message in messages])
        assert [cause.causation_id for cause in causes] == [message.msg_id for message in messages]
        for message in messages:
            write(message)
            if message.reason == "bad":
                raise DomainError("not this one")

    def resume(message: ResumeWorkflow) -> None:
        seen.append([message.reason])

    agent = AgentSpec(
        *("odd", "TEST", "for tests"),
        handlers={PauseWorkflow: write, ResumeWorkflow: resume},
        loops=(),
        bulk_handlers={PauseWorkflow: in_bulk},
    )
    again = Delivery(a_message("resume_workflow", run_id="1", reason="r", msg_id=str(uuid4())), uuid4())
    receive_batch(agent, [say("a"), say("b"), again, say("c")])
    assert (seen, written()) == ([["a", "b"], ["r"]], ["a", "b", "c"])

    receive_batch(agent, [say("d"), say("bad"), say("e")])
    assert written() == ["a", "b", "c", "d", "bad", "e"]
    assert not DeadLetter.objects.exists()


@pytest.mark.django_db
def test_a_bad_message_is_parked_and_harms_no_other() -> None:
    def handler(message: PauseWorkflow) -> None:
        write(message)
        if message.reason == "bad":
            raise DomainError("not this one")

    batch = [say("a"), say("bad"), Delivery("garbage", uuid4()), say("b")]
    results = receive_batch(an_agent(handler), batch)

    assert types(results) == ["PauseWorkflow", "NoneType", "NoneType", "PauseWorkflow"]
    assert written() == ["a", "b"]
    assert {letter.reason for letter in DeadLetter.objects.all()} == {
        "not this one",
        "a message is a JSON object, this is str: 'garbage'",
    }


@pytest.mark.django_db
def test_what_is_delivered_twice_has_one_effect() -> None:
    first, second = say("a"), say("b")
    receive_batch(an_agent(write), [first, second, first])
    results = receive_batch(an_agent(write), [second, say("c"), first])

    assert types(results) == ["PauseWorkflow"] * 3
    assert sorted(written()) == ["a", "b", "c"]
    assert not DeadLetter.objects.exists()


@pytest.mark.django_db
def test_only_what_cannot_be_handled_now_comes_again() -> None:
    away = [True]

    def handler(message: PauseWorkflow) -> None:
        if message.reason == "waits" and away:
            raise RetryableError("Rucio is away")
        write(message)

    batch = [say("a"), say("waits"), say("b")]
    results = receive_batch(an_agent(handler), batch)
    assert types(results) == ["PauseWorkflow", "Again", "PauseWorkflow"]
    assert results[1] == Again("Rucio is away")
    away.clear()
    receive_batch(an_agent(handler), [batch[1]])

    assert written() == ["a", "b", "waits"]


@pytest.mark.django_db
def test_without_a_database_all_that_is_left_comes_again_at_once() -> None:
    asked = []

    def handler(message: PauseWorkflow) -> None:
        asked.append(message.reason)
        if message.reason == "b":
            raise OperationalError("the server closed the connection")
        write(message)

    batch = [say(name) for name in "abc"]
    results = receive_batch(an_agent(handler), batch)

    assert results == [Again("the server closed the connection")] * 3
    assert asked == ["a", "b"]
    assert written() == []


@pytest.mark.django_db(transaction=True)
def test_a_message_that_ends_its_worker_is_parked_and_takes_no_other_with_it() -> None:
    def handler(message: PauseWorkflow) -> None:
        if message.reason == "deadly":
            raise SystemExit
        write(message)

    batch = [say("a"), say("deadly"), say("b")]
    deaths = 0
    for _ in range(9):
        try:
            receive_batch(an_agent(handler), batch)
        except SystemExit:
            deaths += 1
        # The bus knows that it has given them to a worker, whatever became of that.
        batch = [replace(delivery, again=True) for delivery in batch]

    assert deaths == 5
    assert written() == ["a", "b"]
    [letter] = DeadLetter.objects.all()
    assert letter.reason == "given up after 5 attempts; the last: it ended its worker"
    assert outcomes()[0][1] == outcomes()[2][1] == "done"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data())
@pytest.mark.django_db(transaction=True)
def test_whatever_comes_how_often_and_fails_each_message_has_one_effect(data: st.DataObject) -> None:
    InboundMessage.objects.all().delete()
    Namespace.objects.all().delete()
    waiting = [say(str(n)) for n in range(data.draw(st.integers(1, 6)))]
    trouble = {
        d.body["reason"]: data.draw(st.sampled_from([None, RetryableError, SystemExit])) for d in waiting
    }
    expected = set(trouble)

    def handler(message: PauseWorkflow) -> None:
        write(message)
        if (error := trouble[message.reason]) and data.draw(st.booleans()):
            trouble[message.reason] = None
            raise error("again")

    while waiting:
        batch = data.draw(st.lists(st.sampled_from(waiting), min_size=1, max_size=8))
        # A bus that has started again in between knows nothing of earlier deliveries.
        batch = [replace(delivery, again=data.draw(st.booleans())) for delivery in batch]
        try:
            results = receive_batch(an_agent(handler), batch)
        except SystemExit:
            continue
        done = {d.delivery_id for d, r in zip(batch, results, strict=True) if not isinstance(r, Again)}
        waiting = [delivery for delivery in waiting if delivery.delivery_id not in done]

    assert set(written()) == expected
    assert not DeadLetter.objects.exists()


class TurningLoop:
    """Stands in for the worker's consumer: a turn of its loop is `turn()`."""

    connection_errors = (OSError,)

    def __init__(self) -> None:
        self._soon: list[Callable[[], None]] = []

    def call_soon(self, call: Callable[[], None]) -> None:
        self._soon.append(call)

    def turn(self) -> int:
        """Run what was asked for; how many calls that were."""
        soon, self._soon = self._soon, []
        for call in soon:
            call()
        return len(soon)


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Connection, Queue]]:
    """A queue of a broker in memory, and an agent that writes in this process."""
    monkeypatch.setattr(worker, "_runtime", AgentRuntime(an_agent(write)))
    monkeypatch.setattr(batching, "PAUSE_SECONDS", 0)
    with Connection("memory://") as broker:
        queue = Queue(f"odd-{uuid4()}", channel=broker.default_channel)
        queue.declare()
        yield broker, queue


def publish(broker: Connection, queue: Queue, body: str, **headers: Any) -> None:
    broker.Producer().publish(
        body,
        routing_key=queue.name,
        content_type="application/json",
        content_encoding="utf-8",
        headers={"task": tasks.RECEIVE_TASK, "id": str(uuid4()), **headers},
    )


@pytest.mark.django_db
def test_a_turn_of_the_loop_is_a_batch_and_rubbish_is_parked(queue: tuple[Connection, Queue]) -> None:
    broker, agent_queue = queue
    loop = TurningLoop()
    strategy = Batching(tasks.receive_message, app, loop)
    for name in "ab":
        task = app.amqp.create_task_message(str(uuid4()), tasks.RECEIVE_TASK, [say(name).body], {})
        broker.Producer().publish(task.body, routing_key=agent_queue.name, headers=task.headers)
    publish(broker, agent_queue, "{not json")
    publish(broker, agent_queue, "[[], {}, {}]", id="no uuid")
    with Consumer(broker, [agent_queue], on_message=strategy, accept=["json"]):
        for _ in range(4):
            broker.drain_events(timeout=1)
        assert loop.turn() == 1
    assert loop.turn() == 0

    assert written() == ["a", "b"]
    assert {letter.body for letter in DeadLetter.objects.all()} == {
        "{not json",
        "[[], {}, {}]",
    }
    assert agent_queue.get() is None


def test_a_bug_beyond_the_handlers_does_not_end_the_worker(
    queue: tuple[Connection, Queue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_runtime", None)  # whatever it is
    monkeypatch.setattr(connection, "close", lambda: None)
    broker, agent_queue = queue
    loop = TurningLoop()
    publish(broker, agent_queue, "[[{}], {}, {}]")
    with Consumer(
        broker, [agent_queue], on_message=Batching(tasks.receive_message, app, loop), accept=["json"]
    ):
        broker.drain_events(timeout=1)
        loop.turn()

    assert agent_queue.get() is not None


@pytest.mark.django_db
def test_what_cannot_be_handled_now_goes_back_to_its_queue(
    queue: tuple[Connection, Queue], monkeypatch: pytest.MonkeyPatch
) -> None:
    def handler(message: PauseWorkflow) -> None:
        raise RetryableError("Rucio is away")

    monkeypatch.setattr(worker, "_runtime", AgentRuntime(an_agent(handler)))
    monkeypatch.setattr(connection, "close", lambda: None)
    broker, agent_queue = queue
    loop = TurningLoop()
    strategy = Batching(tasks.receive_message, app, loop)
    task = app.amqp.create_task_message(str(uuid4()), tasks.RECEIVE_TASK, [say("a").body], {})
    broker.Producer().publish(task.body, routing_key=agent_queue.name, headers=task.headers)
    with Consumer(broker, [agent_queue], on_message=strategy, accept=["json"]):
        broker.drain_events(timeout=1)
        loop.turn()

    back = agent_queue.get()
    assert back is not None
    assert UUID(back.headers["id"]) == UUID(task.headers["id"])
