"""What the tests of the simulated DAQ share: driving a run to its end, operators, and a SIGKILL at a chosen moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import connection

from apps.agents.bus.receive import receive
from apps.agents.daqsim.checkpoint import take_on
from apps.agents.daqsim.driver import RunDriver
from apps.agents.daqsim.request import request_run
from apps.agents.models import DaqCheckpoint
from apps.agents.registry import agent_spec
from apps.runs.models import Run
from tests.factories import a_workflow
from tests.messages import a_message

MOST_STEPS = 500


def a_daq_run(**overrides: Any) -> Run:
    """A requested run that the DAQ has taken on."""
    run = request_run(a_workflow(**overrides), namespace=settings.SWF_NAMESPACE, requested_by="tester")
    take_on(run)
    return run


def drive(run: Run, *, steps: int = MOST_STEPS, driver: RunDriver | None = None) -> bool:
    """Let a driver, by default a new one, take so many steps; whether the run is through its script."""
    driver = driver or RunDriver(run)
    return any(not driver.step() for _ in range(steps))


def tell(run: Run, wish: str, **fields: Any) -> None:
    """An operator's wish reaches the DAQ."""
    body = a_message(f"{wish}_workflow", run_id=run.run_number, **fields)
    receive(agent_spec("daqsim"), body, delivery_id=uuid4())


def phase(run: Run) -> str:
    return str(DaqCheckpoint.objects.get(run=run).phase)


def announced(run: Run) -> list[dict[str, Any]]:
    """What `stf_gen` said of each STF, in order."""
    return [entry.payload for entry in run.journal.filter(kind="stf_gen").order_by("id")]


class Killed(BaseException):
    """The process is gone."""


@contextmanager
def killed_after(statements: int) -> Iterator[None]:
    """End the process, as far as the database can tell, before statement number `statements` + 1."""
    left = statements

    def count(execute: Any, *statement: Any) -> Any:
        nonlocal left
        if left == 0:
            connection.connection.close()
            raise Killed
        left -= 1
        return execute(*statement)

    try:
        with connection.execute_wrapper(count):
            yield
    except Killed:
        connection.close()
