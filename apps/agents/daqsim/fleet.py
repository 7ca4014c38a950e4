"""All runs that the DAQ is at work on, each driven by a loop of its own."""

from __future__ import annotations

from dataclasses import dataclass

from apps.runs.errors import RetryableError
from apps.runs.models import Run

from ..bus.agent import LoopSpec
from ..bus.loop import Loop
from ..choices import DaqPhase
from ..models import DaqCheckpoint
from .driver import RunDriver


@dataclass(frozen=True)
class _Driven:
    driver: RunDriver
    loop: Loop


class Fleet:
    """Its step is the loop `runs` of the daqsim agent."""

    def __init__(self) -> None:
        self._driven: dict[int, _Driven] = {}

    def step(self) -> bool:
        """Start a driver for every run that has none, let go of those that are through.

        Raises:
            RetryableError: some runs cannot go on now; the text says which and why. The others do.
        """
        for number, driven in list(self._driven.items()):
            if driven.driver.done:
                driven.loop.stop()
                del self._driven[number]
        unfinished = DaqCheckpoint.objects.exclude(phase=DaqPhase.DONE).select_related(
            "run__execution", "run__namespace"
        )
        for checkpoint in unfinished:
            if checkpoint.run.run_number not in self._driven:
                self._drive(checkpoint.run)
        waiting = [
            f"run {number}: {driven.loop.waiting_for}"
            for number, driven in self._driven.items()
            if driven.loop.waiting_for
        ]
        if waiting:
            raise RetryableError("; ".join(waiting))
        return False

    def _drive(self, run: Run) -> None:
        driver = RunDriver(run)
        loop = Loop(LoopSpec(f"run-{run.run_number}", driver.step, interval=1.0), actor="daqsim")
        self._driven[run.run_number] = _Driven(driver, loop)
        loop.start()
