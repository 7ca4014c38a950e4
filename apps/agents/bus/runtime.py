"""A running agent: its loops, its heartbeat, and the way from a message to both."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from django.db import Error as DatabaseError
from django.utils import timezone

from apps.runs.errors import RetryableError

from .. import services
from . import commands
from .agent import AgentSpec, LoopSpec
from .loop import Loop, why_waiting
from .namespaces import are_foreign
from .receive import Again, Delivery, Result, receive_batch
from .replays import replay_next

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
STOP_SECONDS = 15.0
# A step that computes beside a message delays it by more than the message takes; in a flood, no step waits longer.
MAKE_WAY_SECONDS = 0.05


class AgentRuntime:
    """The loops of one agent in this process: its own, the replays of parked messages, and the heartbeat."""

    def __init__(self, spec: AgentSpec, bus_trouble: Callable[[], str] = lambda: "") -> None:
        """`bus_trouble` says why no messages come, "" if nothing keeps them away."""
        self.spec = spec
        self._bus_trouble = bus_trouble
        self._started_at = timezone.now()
        self._received = 0
        self._foreign = 0
        self._lock = threading.Lock()
        self._idle = threading.Event()  # no message is in hand
        self._idle.set()
        self._heartbeat = Loop(
            LoopSpec("heartbeat", self._beat, interval=HEARTBEAT_SECONDS),
            actor=spec.name,
            make_way=self._make_way,
        )
        self._loops = {
            loop.name: Loop(loop, actor=spec.name, changed=self._heartbeat.wake, make_way=self._make_way)
            for loop in (*spec.loops, LoopSpec("replays", self._replay))
        }

    def start(self) -> None:
        """Start all loops. They depend on the database only, not on the broker being there."""
        for loop in (*self._loops.values(), self._heartbeat):
            loop.start()

    def stop(self) -> None:
        """Let every loop finish its step, then say good-bye."""
        loops = (*self._loops.values(), self._heartbeat)
        for loop in loops:
            loop.stop()
        for loop in loops:
            loop.join(STOP_SECONDS)
        services.agent_exited(self.spec.name)

    def receive(self, deliveries: Sequence[Delivery]) -> list[Result]:
        """Handle messages and wake the loops that have work from them; what became of each.

        Those of other namespaces are counted, and commands among them handed on.
        """
        self._idle.clear()
        try:
            return self._receive(deliveries)
        finally:
            self._idle.set()

    def _receive(self, deliveries: Sequence[Delivery]) -> list[Result]:
        try:
            foreign = are_foreign([delivery.body for delivery in deliveries])
        except DatabaseError as error:
            return [Again(str(error))] * len(deliveries)
        handled = iter(
            receive_batch(
                self.spec, [given for given, skip in zip(deliveries, foreign, strict=True) if not skip]
            )
        )
        results = [
            self._hand_on(delivery) if skip else next(handled)
            for delivery, skip in zip(deliveries, foreign, strict=True)
        ]
        for delivery, result, skip in zip(deliveries, results, foreign, strict=True):
            if not skip:
                commands.answer(self.spec.name, delivery, result)
        with self._lock:
            self._received += len(deliveries)
            self._foreign += sum(foreign)
        self._give_work(results)
        return results

    def _hand_on(self, delivery: Delivery) -> Again | None:
        try:
            commands.hand_on(self.spec.name, delivery)
        except RetryableError as error:
            return Again(str(error))
        return None

    @property
    def waiting_for(self) -> str:
        """Why work waits, loop by loop; empty when none does."""
        reasons = (self._bus_trouble(), why_waiting(self._loops.values()))
        return "; ".join(reason for reason in reasons if reason)

    def _make_way(self) -> None:
        """Let the message in hand be handled first."""
        self._idle.wait(MAKE_WAY_SECONDS)

    def _replay(self) -> bool:
        return replay_next(self.spec, handled=lambda message: self._give_work([message]))

    def _give_work(self, results: Sequence[Result]) -> None:
        """Wake the loops that handled messages give work to."""
        for loop in {self.spec.wakes[kind] for kind in map(type, results) if kind in self.spec.wakes}:
            self._loops[loop].wake()

    def _beat(self) -> bool:
        services.beat(
            self.spec.name,
            agent_type=self.spec.agent_type,
            started_at=self._started_at,
            waiting_for=self.waiting_for,
            counters={
                "messages": self._received,
                "messages_of_other_namespaces": self._foreign,
                **{f"{name}_steps": loop.steps for name, loop in self._loops.items()},
                **self.spec.counters(),
            },
        )
        return False
