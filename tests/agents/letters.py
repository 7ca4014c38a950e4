"""Agents whose handler can be broken and mended, and the messages that they park meanwhile."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from apps.agents.bus.agent import AgentSpec, LoopSpec
from apps.agents.bus.receive import receive
from apps.agents.bus.replays import replay_next
from apps.agents.bus.schemas import PauseWorkflow
from apps.agents.models import DeadLetter
from apps.runs.errors import DomainError
from tests.messages import a_message


class Handler:
    """Notes the reason of each message, its name in these tests; or raises its trouble."""

    def __init__(self, trouble: BaseException | None = None) -> None:
        self.trouble = trouble
        self.handled: list[str] = []

    def __call__(self, message: PauseWorkflow) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.handled.append(message.reason)


REFUSED = DomainError("the DAQ has no such run")


def an_agent(handler: Handler, *loops: LoopSpec) -> AgentSpec:
    """The data agent with this handler instead of its own; a handled message wakes the first of the loops."""
    return AgentSpec(
        "data",
        "TEST",
        "for tests",
        handlers={PauseWorkflow: handler},
        loops=loops,
        wakes={PauseWorkflow: loops[0].name} if loops else {},
    )


def parked(handler: Handler, name: str = "", **changes: Any) -> DeadLetter:
    """A message that this handler refuses now, and would handle once its trouble is taken away."""
    trouble, handler.trouble = handler.trouble, REFUSED
    body = a_message("pause_workflow", reason=name, **changes)
    receive(an_agent(handler), body, delivery_id=UUID(body["msg_id"]))
    handler.trouble = trouble
    return DeadLetter.objects.get(msg_id=body["msg_id"])


def unreadable(text: Any = "{not json", *, agent: str = "data") -> DeadLetter:
    """A message that was never understood."""
    delivery_id = uuid4()
    receive(AgentSpec(agent, "TEST", "for tests", handlers={}, loops=()), text, delivery_id=delivery_id)
    return DeadLetter.objects.get(msg_id=delivery_id)


def replay(handler: Handler) -> list[str]:
    """Let the agent take up all replays that are asked for; the names of the messages handled."""
    handled: list[str] = []
    while replay_next(an_agent(handler), handled=lambda message: handled.append(message.reason)):  # type: ignore[attr-defined]
        pass
    return handled
