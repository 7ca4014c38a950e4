"""What an agent is: its name, the messages it handles, and the loops that do its work.

Handlers only write down what a message says and wake a loop; loops do what is waiting in the database. So nothing
depends on a message being handled at a certain moment, and an agent that was killed finds its work where it left it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.runs.journal import Cause

from .schemas import Message

# What it returns, if anything, is the answer for a sender that asked for one.
Handler = Callable[[Any], dict[str, Any] | None]
# Messages of one type and the cause of each, in the order in which they came.
BulkHandler = Callable[[Sequence[Any], Sequence[Cause]], object]
Lock = Callable[[Sequence[Message]], None]
# A step does one portion of waiting work and returns True when there may be more at once.
Step = Callable[[], bool]


@dataclass(frozen=True)
class LoopSpec:
    """A loop of an agent: `step` runs when it is woken, and every `interval` seconds at the latest.

    `gather` is how long a woken loop waits before its step, so that one step serves all that comes in meanwhile.
    """

    name: str
    step: Step
    interval: float = 1.0
    gather: float = 0.0


@dataclass(frozen=True)
class AgentSpec:
    """An agent. Its queue is bound to the message types in `handlers`.

    `bulk_handlers` take several messages that came in a row, to the same effect as their handlers one after the other.
    `wakes` names the loop that a handled message gives work to. With `takes_commands` it also reads the queues in which
    other systems put commands, with `takes_results` the one of what workers and transformers say of slices. `counters` are
    figures of its own for the heartbeat. Of messages in `passing` no record is kept once they are handled: being handled
    again changes nothing. `lock_first` begins the transaction of several messages: it locks what their handlers will, in
    the order in which everybody does, where the handlers one after the other would not.
    """

    name: str
    agent_type: str
    meaning: str
    handlers: Mapping[type[Message], Handler]
    loops: tuple[LoopSpec, ...]
    wakes: Mapping[type[Message], str] = field(default_factory=dict)
    takes_commands: bool = False
    takes_results: bool = False
    bulk_handlers: Mapping[type[Message], BulkHandler] = field(default_factory=dict)
    counters: Callable[[], dict[str, int]] = dict
    passing: frozenset[type[Message]] = frozenset()
    lock_first: Lock | None = None

    @property
    def msg_types(self) -> list[str]:
        """The message types it takes off the bus."""
        return sorted(str(model.model_fields["msg_type"].default) for model in self.handlers)
