"""A message whose handler fails: tried again, counted whatever happens, parked after five attempts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from apps.agents.bus.agent import AgentSpec
from apps.agents.bus.fast_schemas import WorkerHeartbeat
from apps.agents.bus.receive import Delivery, receive, receive_batch
from apps.agents.bus.schemas import PauseWorkflow
from apps.agents.models import DeadLetter, InboundMessage
from apps.runs.errors import RetryableError
from apps.runs.models import Run
from apps.runs.services import control_run
from tests.factories import a_running_run, kinds
from tests.messages import a_message

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]

DELIVERY = UUID("018f3f2e-0000-7000-8000-000000000001")


def give(agent: AgentSpec, body: Any, *, delivery_id: UUID = DELIVERY) -> DeadLetter | None:
    """Deliver a message; the dead letter if it was parked."""
    receive(agent, body, delivery_id=delivery_id)
    return DeadLetter.objects.first()


def an_agent(handler: Callable[[Any], None]) -> AgentSpec:
    """An agent of one handler."""
    return AgentSpec("odd", "TEST", "for tests", handlers={PauseWorkflow: handler}, loops=())


def a_bug(message: PauseWorkflow) -> None:
    """Writes, then fails."""
    control_run(message.run_number, "stop", by="odd")
    raise ZeroDivisionError("a bug")


def test_a_handler_that_fails_is_tried_five_times_and_leaves_nothing(transactional_db: None) -> None:
    run = a_running_run()
    body = a_message("pause_workflow", run_id=run.run_number)
    for attempt in range(1, 6):
        with pytest.raises(RetryableError, match="ZeroDivisionError: a bug"):
            receive(an_agent(a_bug), body, delivery_id=DELIVERY)
        assert InboundMessage.objects.get().attempts == attempt
        assert not DeadLetter.objects.exists()
    letter = give(an_agent(a_bug), body)

    assert letter is not None
    assert letter.reason == "given up after 5 attempts; the last: ZeroDivisionError: a bug"
    assert InboundMessage.objects.get().outcome == "parked"
    assert kinds(run, "stop_workflow") == []
    give(an_agent(a_bug), body)
    assert DeadLetter.objects.count() == 1


def refused_by_the_database(message: PauseWorkflow) -> None:
    Run.objects.filter(run_number=message.run_number).update(lifecycle="lost")


def test_what_the_database_refuses_is_tried_five_times_too(transactional_db: None) -> None:
    body = a_message("pause_workflow", run_id=a_running_run().run_number)
    for _ in range(5):
        with pytest.raises(RetryableError, match="IntegrityError"):
            receive(an_agent(refused_by_the_database), body, delivery_id=DELIVERY)
    letter = give(an_agent(refused_by_the_database), body)

    assert letter is not None
    assert "given up after 5 attempts; the last: IntegrityError: new row" in letter.reason


def test_a_worker_that_dies_in_its_handler_has_its_attempt_counted(transactional_db: None) -> None:
    def killed(message: PauseWorkflow) -> None:
        raise SystemExit

    body = a_message("pause_workflow", run_id=a_running_run().run_number)
    for _ in range(5):
        with pytest.raises(SystemExit):
            receive(an_agent(killed), body, delivery_id=DELIVERY)
    letter = give(an_agent(killed), body)

    assert letter is not None
    assert letter.reason == "given up after 5 attempts; the last: it ended its worker"


def test_only_the_count_of_an_attempt_does_not_wait_for_the_disk(transactional_db: None) -> None:
    waits = []

    def handler(message: PauseWorkflow) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SHOW synchronous_commit")
            waits.append(cursor.fetchone()[0])

    body = a_message("pause_workflow", run_id=a_running_run().run_number)
    receive(an_agent(handler), body, delivery_id=DELIVERY)

    assert waits == ["on"]


def test_a_message_whose_needs_are_away_goes_back_and_is_handled_later() -> None:
    away = [True]

    def handler(message: PauseWorkflow) -> None:
        if away:
            raise RetryableError("Rucio is away")

    body = a_message("pause_workflow", run_id=a_running_run().run_number)
    with pytest.raises(RetryableError, match="Rucio is away"):
        receive(an_agent(handler), body, delivery_id=DELIVERY)
    away.clear()
    receive(an_agent(handler), body, delivery_id=DELIVERY)

    assert InboundMessage.objects.get().outcome == "done"


@pytest.mark.parametrize("copies", [1, 3])
def test_of_messages_that_may_be_handled_twice_no_record_is_kept(copies: int) -> None:
    handled: list[str] = []
    agent = AgentSpec(
        "odd",
        "TEST",
        "for tests",
        handlers={
            WorkerHeartbeat: lambda message: handled.append(message.worker_id),
            PauseWorkflow: lambda message: handled.append("pause"),
        },
        loops=(),
        passing=frozenset({WorkerHeartbeat}),
    )
    beats = [a_message("worker_heartbeat") for _ in range(copies)]
    pause = a_message("pause_workflow")
    receive_batch(agent, [Delivery(body, UUID(body["msg_id"])) for body in (*beats, pause)])
    receive_batch(agent, [Delivery(beats[0], UUID(beats[0]["msg_id"]))])

    assert handled == ["worker-1"] * copies + ["pause", "worker-1"]
    assert [kept.msg_type for kept in InboundMessage.objects.all()] == ["pause_workflow"]
