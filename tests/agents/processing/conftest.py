"""The loops of the processing agent over a PanDA in memory, and the allocator over a Rucio in memory."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from apps.agents.data.allocator import Allocator
from apps.agents.data.registrar import Registrar
from apps.agents.processing.commands import Commands
from apps.agents.processing.follower import Follower
from apps.agents.processing.killer import Killer
from apps.agents.processing.submitter import Submitter
from apps.runs.models import Run
from tests.factories import a_running_run, an_stf
from tests.fakes.panda import FakePanda
from tests.fakes.rucio import FakeRucio


class Site:
    """Both agents and both of their servers. `turn` lets all of them do one step."""

    def __init__(self) -> None:
        self.rucio = FakeRucio()
        self.panda = FakePanda(self.rucio.names_in, self.rucio.is_open)
        self.submitter = Submitter(self.panda, _parameters)  # type: ignore[arg-type]
        self.follower = Follower(self.panda)  # type: ignore[arg-type]
        self.commands = Commands(self.panda)  # type: ignore[arg-type]
        self.killer = Killer(self.panda)  # type: ignore[arg-type]
        self.allocator = Allocator(self.rucio)  # type: ignore[arg-type]
        self.registrar = Registrar(self.rucio)  # type: ignore[arg-type]

    def steps(self) -> tuple[Callable[[], object], ...]:
        return (
            self.registrar.step,
            self.allocator.step,
            self.submitter.step,
            self.panda.tick,
            self.commands.step,
            self.follower.step,
            self.killer.step,
        )

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            for step in self.steps():
                step()

    def run(self, stfs: int = 2, **overrides: Any) -> Run:
        """A run whose STFs are announced, and nothing more."""
        run = a_running_run(**{"policy": "round-robin", **overrides})
        for sequence in range(1, stfs + 1):
            an_stf(run, sequence)
        return run

    def work(self, status: str = "finished", reason: str = "") -> None:
        """The pilots bring every open job to this state."""
        for job in self.panda.open_jobs():
            self.panda.set_job(job.panda_id, status, reason)


def _parameters(arguments: list[str]) -> dict[str, Any]:
    """What prun makes of its arguments, as far as the fake server looks at it."""
    given = dict(pairwise(arguments))
    return {
        "taskName": f"{given['--outDS']}/",
        "dsForIN": given["--inDS"],
        "prodSourceLabel": given["--prodSourceLabel"],
    }


@pytest.fixture
def site() -> Site:
    return Site()
