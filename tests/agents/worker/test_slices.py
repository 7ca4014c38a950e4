"""What a worker does with messages, and what it says, over a voice that a test listens to."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from django.conf import settings

from apps.agents.bus.sending import Outgoing
from apps.agents.worker import processing, voice
from apps.agents.worker.slices import Limits, SliceWorker
from apps.agents.worker.voice import Voice
from apps.runs.errors import RetryableError
from tests.messages import a_message

from .process import a_slice


class Spoken(Voice):
    """Keeps what is said, while the broker is not away."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.said: list[dict[str, Any]] = []
        self._sender = Mock(send=self._send)

    def _send(self, outgoing: list[Outgoing]) -> None:
        if self.away:
            raise RetryableError("the broker does not take messages: gone")
        self.said += [one.message for one in outgoing]

    def results(self) -> list[dict[str, Any]]:
        return [one["content"] for one in self.said if one["msg_type"] == "slice_result"]

    def states(self) -> list[str]:
        return [one["status"] for one in self.said if one["msg_type"] == "worker_heartbeat"]


@pytest.fixture
def spoken() -> Spoken:
    return Spoken()


def a_slice_worker(spoken: Spoken, **limits: float) -> SliceWorker:
    return SliceWorker("one", Limits(**limits), spoken, leave=Mock(), say=Mock())


class TestWorker:
    def test_lets_be_what_was_delivered_before_and_what_it_does_not_know(
        self, spoken: Spoken, tf_file: Path
    ) -> None:
        worker = a_slice_worker(spoken)
        worker.receive(a_slice(tf_file, 100, 101), again=True)
        worker.receive({"msg_type": "slice"}, again=False)
        worker.receive("rubbish", again=False)
        worker.receive(a_message("end_run"), again=False)

        assert spoken.said == []
        assert (worker.done, worker.failed, worker.is_leaving) == (0, 0, False)

    def test_leaves_after_so_many_slices_whatever_became_of_them(self, spoken: Spoken, tf_file: Path) -> None:
        worker = a_slice_worker(spoken, slices=2)
        worker.receive(a_slice(tf_file, 100, 101), again=False)
        assert not worker.is_leaving
        worker.receive(a_slice("/nowhere", 100, 101), again=False)

        assert (worker.done, worker.failed, worker.reason) == (1, 1, "2 slices are processed")
        assert [one["state"] for one in spoken.results()] == ["done", "failed"]

    def test_is_stopped_by_its_own_testbed_only(self, spoken: Spoken) -> None:
        worker = a_slice_worker(spoken)
        others: tuple[object, ...] = ([], ["two"], "one")
        for meant in others:
            worker.receive(a_message("stop_transformer", content={"worker_ids": meant}), again=False)
        worker.receive(a_message("stop_transformer", namespace="elsewhere"), again=False)
        assert not worker.is_leaving
        worker.receive(a_message("stop_transformer", namespace=settings.SWF_NAMESPACE), again=False)
        assert worker.reason == "stop_transformer"
        worker.beat()
        worker.end()
        assert spoken.states() == ["stopping", "ended"]

    def test_takes_a_bug_for_a_failed_slice(
        self, spoken: Spoken, tf_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(processing, "summary", Mock(side_effect=ZeroDivisionError("by zero")))
        a_slice_worker(spoken).receive(a_slice(tf_file, 100, 101), again=False)

        assert spoken.results()[0]["error"].startswith("ZeroDivisionError: by zero")

    def test_says_which_job_of_panda_it_is(
        self, spoken: Spoken, tf_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PandaID", "7")
        monkeypatch.setenv("PanDA_TaskID", "no number")
        worker = a_slice_worker(spoken)
        worker.receive(a_slice(tf_file, 100, 101), again=False)
        worker.beat()

        assert (spoken.results()[0]["panda_id"], spoken.results()[0]["panda_task_id"]) == (7, None)
        assert spoken.said[-1]["panda_id"] == 7


class TestResults:
    def test_are_kept_while_the_broker_is_away_and_sent_in_order_before_the_next_word(
        self, spoken: Spoken, tf_file: Path
    ) -> None:
        worker = a_slice_worker(spoken)
        spoken.away = True
        given = [a_slice(tf_file, first, first) for first in (100, 101)]
        for one in given:
            worker.receive(one, again=False)
        worker.beat()
        assert (spoken.unsent, spoken.said) == (2, [])
        spoken.away = False
        worker.beat()

        assert spoken.unsent == 0
        assert [one["result"]["result"]["req_id"] for one in spoken.results()] == [
            one["content"]["req_id"] for one in given
        ]
        assert spoken.said[-1]["msg_type"] == "worker_heartbeat"

    def test_that_are_too_many_are_given_up_the_oldest_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(voice, "MOST_UNSENT", 3)
        spoken = Spoken()
        spoken.away = True
        for number in range(4):
            spoken.tell(a_message("slice_result", run_id=str(number)))
        spoken.away = False
        spoken.tell(a_message("slice_result", run_id="4"))

        assert [one["run_id"] for one in spoken.said] == ["2", "3", "4"]
