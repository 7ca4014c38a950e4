"""What tests of the server do again and again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from services.base import Engine
from tests.panda.world import Api, Pilot, Run, pilot, poll


def submit(api: Api, run: Run, **changes: Any) -> int:
    """Submit a task on the run; its id."""
    reply = api.post("task/submit", task_parameters=run.parameters(**changes))
    assert reply["success"], reply
    return int(reply["data"])


def a_pilot(panda: Engine, catalogue: Any, task_id: int) -> Pilot:
    """A pilot of the first queue, for this task only."""
    return Pilot(pilot(panda), catalogue, task_id)


def job(api: Api, number: int) -> dict[str, Any]:
    """The description of a job."""
    (found,) = api.post("job/get_description", job_ids=[number])["data"]
    return dict(found)


def wait_for_job(api: Api, number: int, *states: str) -> dict[str, Any]:
    """The description of a job, once it is in one of these states."""
    return dict(
        poll(lambda: (now := job(api, number))["jobStatus"] in states and now, lambda: job(api, number))
    )


def kill(engine: Engine) -> None:
    """SIGKILL, and forget the process."""
    assert engine.pid
    os.kill(engine.pid, signal.SIGKILL)
    engine.stop()


@contextmanager
def stopped(engine: Engine, *dependent: Engine) -> Iterator[None]:
    """The engine is away in this block; afterwards it and what needs it is ready again."""
    engine.stop()
    try:
        yield
    finally:
        engine.start()
        for one in dependent:
            one.wait_ready()
