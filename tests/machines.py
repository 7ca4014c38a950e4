"""Hypothesis state machines over the real database: each example in a transaction of its own, which is rolled back."""

from __future__ import annotations

from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


class DatabaseMachine(RuleBasedStateMachine):
    """A state machine whose rules write; needs the `db` fixture."""

    def __init__(self) -> None:
        super().__init__()
        self._transaction = transaction.atomic()
        self._transaction.__enter__()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self._transaction.__exit__(None, None, None)


def explore(machine: type[RuleBasedStateMachine], *, examples: int = 20, steps: int = 20) -> None:
    """Let hypothesis look for a sequence of rules that breaks an invariant."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
