"""A running agent: a message in hand goes before the steps of its loops, but not for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from uuid import uuid4

import pytest

from apps.agents.bus import runtime
from apps.agents.bus.agent import AgentSpec, LoopSpec
from apps.agents.bus.receive import Delivery
from apps.agents.bus.runtime import AgentRuntime
from apps.agents.bus.schemas import PauseWorkflow
from tests.messages import a_message

pytestmark = pytest.mark.django_db(transaction=True)

DEADLINE_SECONDS = 60.0


class Busy:
    """An agent of one loop, which is started while a message is in hand; `worked` when it has made a step."""

    def __init__(self, look: Callable[[threading.Event], bool]) -> None:
        """`look` is called with `worked` by the handler, and what it returns is kept as `seen`."""
        self.worked = threading.Event()
        self.seen: list[bool] = []
        self._look = look
        loop = LoopSpec("work", lambda: bool(self.worked.set()))
        self._agent = AgentRuntime(
            AgentSpec("odd", "TEST", "for tests", handlers={PauseWorkflow: self._handle}, loops=(loop,))
        )

    def take_a_message(self) -> None:
        try:
            self._agent.receive([Delivery(a_message("pause_workflow", run_id="1"), uuid4())])
            assert self.worked.wait(DEADLINE_SECONDS)
        finally:
            self._agent.stop()

    def _handle(self, message: PauseWorkflow) -> None:
        self._agent.start()
        self.seen.append(self._look(self.worked))


def test_no_step_begins_beside_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "MAKE_WAY_SECONDS", DEADLINE_SECONDS)
    agent = Busy(lambda worked: worked.wait(0.1))
    agent.take_a_message()

    assert agent.seen == [False]


def test_a_message_that_takes_long_holds_no_step_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "MAKE_WAY_SECONDS", 0.01)
    agent = Busy(lambda worked: worked.wait(DEADLINE_SECONDS))
    agent.take_a_message()

    assert agent.seen == [True]
