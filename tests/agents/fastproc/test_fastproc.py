"""The fastproc agent: from the messages that it is given to the slices that it sends."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction

from apps.agents.bus.fast_schemas import Slice
from apps.agents.bus.receive import Delivery, receive_batch
from apps.agents.fastproc import cutter, handlers, leases
from apps.agents.fastproc.agent import AGENT
from apps.agents.fastproc.dispatcher import Dispatcher
from apps.agents.fastproc.leases import Leases
from apps.agents.models import DeadLetter
from apps.runs.errors import RetryableError
from apps.runs.models import JournalEntry, Run
from apps.stf.models import FastRun, Worker
from tests.factories import a_running_run, kinds
from tests.messages import a_message
from tests.parallel import PATIENCE, blocked
from tests.slices import SLICED, a_sliced_run, counted, expire, heard, silence, to_cut

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


class Sent(list[dict[str, Any]]):
    """What the dispatcher has sent, while the broker takes it."""

    takes = True

    def __call__(self, bodies: Any) -> None:
        if not self.takes and bodies:
            raise RetryableError("the broker does not take messages")
        self.extend(bodies)


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def dispatcher(sent: Sent) -> Dispatcher:
    return Dispatcher(sent)


def told(*messages: dict[str, Any]) -> list[Any]:
    """What becomes of messages that arrive together."""
    return receive_batch(AGENT, [Delivery(message, uuid4()) for message in messages])


def result(slice_message: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A worker's answer to a slice."""
    inner = {**slice_message["content"], "hits": 3}
    content = {"state": "done", "worker_id": "worker-1", "result": {"state": "done", "result": inner}}
    return a_message("slice_result", run_id=slice_message["run_id"], content=content | changes)


def unread() -> list[str]:
    return list(DeadLetter.objects.values_list("reason", flat=True))


class TestDispatching:
    def test_a_slice_says_which_tfs_of_which_file_and_by_what_they_are_processed(
        self, dispatcher: Dispatcher, sent: Sent
    ) -> None:
        run = a_running_run(**SLICED | {"slice_payload": "analyse %IN"})
        to_cut(run, 1)
        cutter.cut()
        heard()
        dispatcher.step()

        message = Slice.model_validate(sent[0])
        assert (message.run_number, message.namespace, message.sender) == (run.run_number, "test", "fastproc")
        assert message.execution_id == run.execution.execution_id
        name = f"swf.{run.run_number}.000001_tf_000"
        assert message.content.model_dump(exclude={"req_id"}) == {
            "filename": f"swf.{run.run_number}.000001.stf",
            "tf_filename": f"{name}_slice_000.tf",
            "slice_id": 0,
            "start": 1000,
            "end": 1000,
            "tf_count": 1,
            "state": "queued",
            "substate": "new",
            "attempt": 1,
            "file_url": f"/nowhere/{name}.tf",
            "checksum": "0000000a",
            "payload": "analyse %IN",
        }

    def test_without_worker_nothing_is_sent(self, dispatcher: Dispatcher, sent: Sent) -> None:
        a_sliced_run()
        dispatcher.step()
        assert sent == []

    def test_with_a_broker_that_is_away_they_wait_and_it_is_no_try(
        self, dispatcher: Dispatcher, sent: Sent
    ) -> None:
        run = a_sliced_run()
        heard()
        sent.takes = False
        for _ in range(5):
            with pytest.raises(RetryableError, match="the broker does not take messages"):
                dispatcher.step()
        assert counted(run) == {"queued": 6}
        sent.takes = True
        dispatcher.step()

        assert [message["content"]["attempt"] for message in sent] == [1, 1]

    def test_what_was_claimed_by_a_process_that_was_killed_comes_back_by_its_lease(
        self, dispatcher: Dispatcher, sent: Sent
    ) -> None:
        run = a_sliced_run()
        heard()

        def killed(bodies: Any) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Dispatcher(killed).step()
        assert counted(run) == {"queued": 4, "claimed": 2}
        expire(*run.slices.all())
        Leases(listen_seconds=0).step()
        dispatcher.step()

        assert [message["content"]["attempt"] for message in sent] == [2, 2]


class TestMessages:
    def test_a_run_is_processed_by_results_that_come_together_and_twice(
        self, dispatcher: Dispatcher, sent: Sent
    ) -> None:
        run = a_sliced_run()
        heard()
        before = handlers.counters()["results_ignored"]
        for _ in range(3):
            dispatcher.step()
            told(*[result(message) for message in sent], *[result(message) for message in sent])
            sent.clear()

        assert counted(run) == {"done": 6}
        assert run.journal.get(kind="sample_processed").actor == "fastproc"
        assert handlers.counters()["results_ignored"] == before + 6
        assert run.slices.first().result == {"hits": 3}
        assert unread() == []

    def test_one_for_an_unknown_slice_is_parked_with_the_reason_and_the_others_count(
        self, dispatcher: Dispatcher, sent: Sent
    ) -> None:
        run = a_sliced_run()
        heard()
        dispatcher.step()
        unknown = a_message("slice_result")
        told(result(sent[0]), unknown, result(sent[1]))

        assert counted(run) == {"queued": 4, "done": 2}
        [reason] = unread()
        assert reason.startswith("slice_result: no slice has the req_id 0199f3a2")

    def test_heartbeats_alone_or_together_say_which_workers_are_there(self) -> None:
        told(a_message("worker_heartbeat", pid=7, hostname="wn-7"))
        told(*[a_message("worker_heartbeat", worker_id=f"worker-{number}") for number in (2, 3, 2)])

        workers = Worker.objects.order_by("worker_id").values_list("worker_id", "location", "pid")
        assert list(workers) == [("worker-1", "wn-7", 7), ("worker-2", "", None), ("worker-3", "", None)]
        entries = JournalEntry.objects.filter(kind="worker_started")
        assert [entry.actor for entry in entries] == ["fastproc"] * 3

    def test_a_transformer_of_the_existing_system_is_a_worker_too(self) -> None:
        told(
            {"msg_type": "heartbeat", "internal_id": "wn-7-1", "namespace": "test", "timestamp": 1764151200.5}
        )

        worker = Worker.objects.get()
        assert (worker.worker_id, worker.status, worker.pid) == ("wn-7-1", "ready", None)

    def test_workers_are_announced_when_a_run_is_imminent(self) -> None:
        run = a_running_run(**SLICED)
        for _ in range(2):
            told(a_message("run_imminent", run_id=run.run_number))

        assert kinds(run, "run_imminent_worker") == ["run_imminent_worker"]

    def test_a_run_that_is_not_known_yet_is_waited_for(self) -> None:
        [again] = told(a_message("run_imminent", run_id=7))
        assert again.reason == "there is no run 7"

    def test_the_rest_only_wakes_loops(self) -> None:
        run = a_running_run()
        messages = told(
            a_message("tf_file_registered", run_id=run.run_number),
            a_message("end_run", run_id=run.run_number),
        )
        assert [AGENT.wakes[type(message)] for message in messages] == ["cutter", "fleet"]


class TestLeases:
    @pytest.fixture
    def forgotten(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The workers of which the broker keeps nothing any more."""
        workers: list[str] = []
        monkeypatch.setattr(leases, "forget_worker", workers.append)
        return workers

    def test_a_lost_worker_is_forgotten_by_the_broker_too(self, forgotten: list[str]) -> None:
        heard()
        silence(seconds=61)
        taking = Leases(listen_seconds=0)
        for _ in range(2):
            taking.step()
        assert forgotten == ["worker-1"]

    def test_one_that_the_broker_cannot_forget_now_is_forgotten_later(
        self, forgotten: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(worker_id: str) -> None:
            raise RetryableError("the broker does not take messages")

        heard()
        silence(seconds=61)
        taking = Leases(listen_seconds=0)
        with monkeypatch.context() as patched:
            patched.setattr(leases, "forget_worker", away)
            with pytest.raises(RetryableError):
                taking.step()
        taking.step()
        assert forgotten == ["worker-1"]

    def test_after_a_restart_it_first_hears_what_workers_have_said_meanwhile(
        self, forgotten: list[str]
    ) -> None:
        heard()
        silence(seconds=61)
        Leases().step()
        assert forgotten == []


def test_what_is_cut_is_shed_in_the_same_step(exit_buffer: Path) -> None:
    run: Run = a_running_run(**SLICED | {"backlog_policy": "newest_first", "backlog_limit": 4})
    to_cut(run, 1)
    assert cutter.cut() is False
    assert counted(run) == {"queued": 4, "skipped": 2}


@pytest.mark.django_db(transaction=True)
def test_a_batch_of_several_runs_does_not_get_in_the_way_of_the_dispatcher(
    dispatcher: Dispatcher, sent: Sent
) -> None:
    older, newer = a_sliced_run(), a_sliced_run()
    heard("worker-1")
    dispatcher.step()
    of_run = {message["run_id"]: message for message in sent}
    batch = [
        result(of_run[str(newer.run_number)]),
        a_message("worker_heartbeat", worker_id="worker-1"),
        result(of_run[str(older.run_number)]),
    ]

    with ExitStack() as stack:
        with transaction.atomic():
            # As the dispatcher does: it comes by the older run first.
            FastRun.objects.select_for_update().get(run=older)
            results = stack.enter_context(blocked(lambda: told(*batch)))
            FastRun.objects.select_for_update().get(run=newer)
        became = [str(getattr(message, "msg_id", message)) for message in results.result(PATIENCE)]

    assert became == [message["msg_id"] for message in batch]
    assert counted(older)["done"] == counted(newer)["done"] == 1
