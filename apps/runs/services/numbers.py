"""Numbers that are given out without gaps, each once: of runs, agents and executions."""

from __future__ import annotations

from django.db import connection, transaction
from django.db.models import F

from .. import journal
from ..models import FIRST_RUN_NUMBER, Counter, Run

RUN_NUMBERS = "run_number"
AGENT_IDS = "agent_id"
EXECUTION_SEQUENCES = "workflow_execution_id"


@transaction.atomic
def give_run_number(*, by: str) -> int:
    """The next run number, for a DAQ that is not ours."""
    return _given(RUN_NUMBERS, next_run_number(), by)


@transaction.atomic
def give_agent_id(*, by: str) -> int:
    """The next number for the name of an agent, from 1."""
    return _given(AGENT_IDS, next_number(AGENT_IDS, first=1), by)


@transaction.atomic
def give_execution_sequence(*, by: str, workflow: str = "") -> int:
    """The next number for the id of an execution, from 1, one count for all workflows."""
    return _given(EXECUTION_SEQUENCES, next_number(EXECUTION_SEQUENCES, first=1), by, workflow=workflow)


def next_run_number() -> int:
    """The next number; those that another DAQ gave to a run are skipped."""
    while Run.objects.filter(
        run_number=(number := next_number(RUN_NUMBERS, first=FIRST_RUN_NUMBER))
    ).exists():
        pass
    return number


def next_number(name: str, *, first: int) -> int:
    """The next number of a counter; its row stays locked until the transaction ends, hence no gaps."""
    table = Counter._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{table}" (name, value) VALUES (%s, %s) '  # noqa: S608 - own table name
            f'ON CONFLICT (name) DO UPDATE SET value = "{table}".value + 1 RETURNING value',
            [name, first],
        )
        value: int = cursor.fetchone()[0]
    return value


def give_back(name: str) -> None:
    """Take the number back that this transaction has drawn last."""
    Counter.objects.filter(name=name).update(value=F("value") - 1)


def _given(counter: str, number: int, by: str, **payload: str) -> int:
    with journal.acting_as(by):
        journal.record(journal.Change("number_given", subject=counter, payload={"number": number, **payload}))
    return number
