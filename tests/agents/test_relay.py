"""The publisher: every sequenced entry goes to the bus, in order and at least once, whatever breaks in between."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from kombu import Connection

from apps.agents.bus import pgmq
from apps.agents.bus.receive import receive
from apps.agents.bus.relay import FOLLOWER, Publisher, sequence
from apps.agents.bus.topology import queue_of
from apps.agents.models import DaqCheckpoint, InboundMessage
from apps.agents.registry import agent_spec
from apps.runs import journal
from apps.runs.errors import RetryableError
from apps.runs.models import JournalEntry
from apps.runs.selectors import cursor_position, newest_position
from services.base import Engine
from swf_site.celery import app
from swf_site.settings.broker import transport_options
from tests import database
from tests.factories import a_run

DAQSIM = agent_spec("daqsim")


def use_broker(monkeypatch: pytest.MonkeyPatch, url: str, **options: Any) -> None:
    """Let the publisher send to this broker."""
    monkeypatch.setenv("CELERY_BROKER_WRITE_URL", url)
    monkeypatch.setitem(app.conf, "broker_transport_options", transport_options(url, "test") | options)


class Inbox:
    """The queue of the daqsim agent, read as its worker does."""

    def __init__(self, broker: Connection) -> None:
        self._broker = broker
        self._queue = queue_of(DAQSIM)(broker.default_channel)
        self._queue.declare()
        self._queue.purge()

    def take(self) -> list[tuple[str, dict[str, Any]]]:
        """Task id and body of all that wait, acknowledged."""
        taken = []
        while message := self._queue.get():
            taken.append((message.headers["id"], message.decode()[0][0]))
            message.ack()
        return taken

    def msg_types(self) -> list[str]:
        return [body["msg_type"] for _, body in self.take()]


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    """A queue on a broker in this process's memory."""
    use_broker(monkeypatch, "memory://")
    with Connection("memory://") as broker:
        yield Inbox(broker)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    """A publisher; its connection is given back."""
    one = Publisher()
    yield one
    one.close()


def say(*names: str) -> None:
    """Write wishes for a run into the journal, and number them."""
    run = a_run()
    for name in names:
        with transaction.atomic():
            journal.record(journal.Change(f"{name}_workflow", run=run))
    while sequence():
        pass


@pytest.mark.django_db
class TestWithABrokerInMemory:
    def test_entries_are_sent_in_order_each_under_its_own_id(
        self, inbox: Inbox, publisher: Publisher
    ) -> None:
        say("pause", "resume", "stop")
        assert publisher.step() is False

        taken = inbox.take()
        assert [body["msg_type"] for _, body in taken] == [
            "run_workflow",
            "pause_workflow",
            "resume_workflow",
            "stop_workflow",
        ]
        ids = JournalEntry.objects.order_by("position").values_list("msg_id", flat=True)
        assert [task for task, _ in taken] == [body["msg_id"] for _, body in taken] == [str(i) for i in ids]
        assert cursor_position(FOLLOWER) == newest_position()

    def test_nothing_is_sent_twice(self, inbox: Inbox, publisher: Publisher) -> None:
        say("pause")
        for _ in range(3):
            publisher.step()

        assert inbox.msg_types() == ["run_workflow", "pause_workflow"]

    def test_what_is_not_numbered_yet_waits(self, inbox: Inbox, publisher: Publisher) -> None:
        a_run()
        publisher.step()

        assert inbox.take() == []

    def test_kinds_for_the_readers_of_the_journal_are_passed_over(
        self, inbox: Inbox, publisher: Publisher
    ) -> None:
        with transaction.atomic():
            journal.record(journal.Change("note"))
        sequence()
        publisher.step()

        assert inbox.take() == []
        assert cursor_position(FOLLOWER) == newest_position()

    def test_killed_before_it_moves_its_cursor_it_sends_again(
        self, inbox: Inbox, publisher: Publisher
    ) -> None:
        def kill(execute: Any, sql: str, *rest: Any) -> Any:
            if "runs_journalcursor" in sql and not sql.startswith("SELECT"):
                raise SystemExit
            return execute(sql, *rest)

        say("pause")
        with pytest.raises(SystemExit), connection.execute_wrapper(kill):
            publisher.step()
        Publisher().step()

        assert inbox.msg_types() == ["run_workflow", "pause_workflow"] * 2

    def test_a_message_that_is_sent_again_has_one_effect(self, inbox: Inbox, publisher: Publisher) -> None:
        say()
        publisher.step()
        [(delivery, body)] = inbox.take()
        for _ in range(2):
            receive(DAQSIM, body, delivery_id=UUID(delivery))

        assert DaqCheckpoint.objects.count() == 1
        assert InboundMessage.objects.get().attempts == 1


@pytest.mark.django_db
def test_a_broker_that_is_away_keeps_the_cursor_and_is_named(
    monkeypatch: pytest.MonkeyPatch, publisher: Publisher
) -> None:
    nowhere = "pgmq://nobody:nothing@127.0.0.1:1/nowhere"
    use_broker(monkeypatch, nowhere, pool_timeout=0.2, max_retries=1, interval_start=0)
    say("pause")
    with pytest.raises(RetryableError, match="the broker does not take messages: "):
        publisher.step()
    assert cursor_position(FOLLOWER) == 0

    use_broker(monkeypatch, "memory://")
    with Connection("memory://") as broker:
        inbox = Inbox(broker)
        publisher.step()
        assert inbox.msg_types() == ["run_workflow", "pause_workflow"]


@pytest.fixture
def pgmq_inbox(transactional_db: None, postgres: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    """The queue of the daqsim agent in the test database."""
    pgmq.install()
    use_broker(monkeypatch, database.address("pgmq"))
    with app.connection_for_write() as broker:
        yield Inbox(broker)


@pytest.fixture
def rabbitmq_inbox(
    transactional_db: None, rabbitmq: Engine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Inbox]:
    """The queue of the daqsim agent on RabbitMQ."""
    use_broker(monkeypatch, rabbitmq.environment()["BROKER_URL"])
    with app.connection_for_write() as broker:
        yield Inbox(broker)


@pytest.mark.services
@pytest.mark.parametrize("bus", ["pgmq", "rabbitmq"])
def test_from_the_journal_over_the_bus_to_the_agent(
    bus: str, publisher: Publisher, request: pytest.FixtureRequest
) -> None:
    inbox: Inbox = request.getfixturevalue(f"{bus}_inbox")
    say("pause")
    publisher.step()
    taken = inbox.take()
    for delivery, body in taken:
        receive(DAQSIM, body, delivery_id=UUID(delivery))

    assert [body["msg_type"] for _, body in taken] == ["run_workflow", "pause_workflow"]
    assert DaqCheckpoint.objects.get().command == "pause"
    assert inbox.take() == []


def sessions() -> set[int]:
    """The sessions of others in this database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return {pid for (pid,) in cursor.fetchall()}


@pytest.mark.services
def test_a_broken_connection_to_the_broker_is_made_anew(pgmq_inbox: Inbox, publisher: Publisher) -> None:
    others = sessions()
    say()
    publisher.step()
    assert pgmq_inbox.msg_types() == ["run_workflow"]

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid", [list(sessions() - others)])
    say("pause")
    with contextlib.suppress(RetryableError):
        publisher.step()
    publisher.step()
    assert set(pgmq_inbox.msg_types()) == {"run_workflow", "pause_workflow"}
    assert cursor_position(FOLLOWER) == newest_position()
