"""Driving one run through its script, a step at a time; every step is written before the next begins."""

from __future__ import annotations

import time
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from apps.runs import services as runs
from apps.runs.errors import TransitionRefused
from apps.runs.models import Run
from apps.stf.services import dataset_name

from ..choices import DaqCommand, DaqPhase
from ..models import DaqCheckpoint
from . import checkpoint as checkpoints
from .script import AFTER_THE_RUN, PHYSICS, STANDBY, WAITS, stf_interval, stfs_per_period
from .stf_source import StfSource, clean_up, stf_source

# A step never sleeps longer, so that commands and the end of the process are heeded.
MOST_SLEEP = 0.2
# After a stall the DAQ makes up for so much of it, not for hours.
MOST_CATCH_UP = 1.0

_ENDS = frozenset({DaqCommand.STOP, DaqCommand.ABORT})
_WAITING_FOR_DATA = frozenset({DaqPhase.REQUESTED, *WAITS, DaqPhase.PHYSICS, DaqPhase.HELD})


class RunDriver:
    """Drives one run. `step()` is a loop's step; `done` is set when the script is through."""

    def __init__(self, run: Run) -> None:
        self.done = False
        self._run = run
        self._daq = run.parameters["daq_state_machine"]
        self._realtime: bool = run.parameters["workflow"]["realtime"]
        self._source: StfSource | None = None
        self._due = time.monotonic()
        self._refusal = ""

    def step(self) -> bool:
        """Do the next thing, or wait for it a little; False when the run is through the script.

        Raises:
            TransitionRefused: the core state does not allow it; said in the journal once, for it is tried again.
        """
        try:
            return self._step()
        except TransitionRefused as refusal:
            if str(refusal) != self._refusal:
                self._refusal = str(refusal)
                runs.record_refusal(self._run, "core state", str(refusal))
            raise

    def _step(self) -> bool:
        checkpoint = DaqCheckpoint.objects.get(run=self._run)
        phase = DaqPhase(checkpoint.phase)
        if checkpoint.command in _ENDS and phase in _WAITING_FOR_DATA:
            self._end(checkpoint)
        elif phase == DaqPhase.REQUESTED:
            self._enter_wait(checkpoint, DaqPhase.NO_BEAM)
        elif phase in WAITS:
            self._wait(checkpoint, phase)
        elif phase == DaqPhase.PHYSICS:
            self._physics(checkpoint)
        elif phase == DaqPhase.HELD:
            self._held(checkpoint)
        elif phase == DaqPhase.ENDING:
            self._ending(checkpoint)
        self.done = phase == DaqPhase.DONE
        return not self.done

    def _wait(self, checkpoint: DaqCheckpoint, phase: DaqPhase) -> None:
        wait = WAITS[phase]
        if not self._time_is_up(checkpoint, wait.seconds(self._daq)):
            return
        if wait.then == DaqPhase.PHYSICS:
            self._enter_physics(checkpoint, period_first_sequence=checkpoint.next_sequence)
        else:
            self._enter_wait(checkpoint, wait.then)

    def _enter_wait(self, checkpoint: DaqCheckpoint, phase: DaqPhase, **fields: int) -> None:
        message = {}
        if phase == DaqPhase.IMMINENT:
            message = {"dataset": dataset_name(self._run)}
        elif phase == DaqPhase.STANDBY:
            message = {"reason": "standby between physics periods"}
        with transaction.atomic():
            checkpoints.enter(checkpoint, phase, **fields)
            runs.advance(self._run.run_number, WAITS[phase].state, message=message)

    def _enter_physics(self, checkpoint: DaqCheckpoint, **fields: int) -> None:
        self._due = time.monotonic()
        with transaction.atomic():
            checkpoints.enter(checkpoint, DaqPhase.PHYSICS, **fields)
            runs.advance(self._run.run_number, PHYSICS)

    def _physics(self, checkpoint: DaqCheckpoint) -> None:
        if checkpoint.command == DaqCommand.PAUSE:
            with transaction.atomic():
                checkpoints.enter(checkpoint, DaqPhase.HELD)
                reason = checkpoint.command_reason or "paused by the operator"
                runs.advance(self._run.run_number, STANDBY, message={"reason": reason})
            return
        source = self._open_source()
        if source.total is not None and checkpoint.next_sequence > source.total:
            self._end(checkpoint)
            return
        in_period = checkpoint.next_sequence - checkpoint.period_first_sequence
        if source.total is None and in_period >= stfs_per_period(self._daq):
            self._end_period(checkpoint)
        elif self._stf_is_due():
            fields = source.make(checkpoint.next_sequence)
            state, substate = PHYSICS
            checkpoints.announce_stf(
                checkpoint, self._run, fields | {"state": str(state), "substate": str(substate)}
            )

    def _end_period(self, checkpoint: DaqCheckpoint) -> None:
        periods: int = self._daq["physics_period_count"]
        if periods and checkpoint.period + 1 >= periods:
            self._end(checkpoint)
        else:
            self._enter_wait(checkpoint, DaqPhase.STANDBY, period=checkpoint.period + 1)

    def _held(self, checkpoint: DaqCheckpoint) -> None:
        if checkpoint.command == DaqCommand.PAUSE:
            time.sleep(MOST_SLEEP)
        else:
            self._enter_physics(checkpoint)

    def _end(self, checkpoint: DaqCheckpoint) -> None:
        reason = checkpoint.command_reason
        aborted = checkpoint.command == DaqCommand.ABORT
        with transaction.atomic():
            checkpoints.enter(checkpoint, DaqPhase.ENDING)
            runs.end_run(
                self._run.run_number,
                total_stf_files=checkpoint.next_sequence - 1,
                reason=reason or ("aborted by the operator" if aborted else ""),
                aborted=aborted,
            )

    def _ending(self, checkpoint: DaqCheckpoint) -> None:
        if not self._time_is_up(checkpoint, self._daq["beam_not_ready_end_delay"]):
            return
        clean_up(self._run)
        with transaction.atomic():
            checkpoints.enter(checkpoint, DaqPhase.DONE)
            runs.advance(self._run.run_number, AFTER_THE_RUN)

    def _open_source(self) -> StfSource:
        if self._source is None:
            clean_up(self._run)
            self._source = stf_source(self._run)
        return self._source

    def _time_is_up(self, checkpoint: DaqCheckpoint, seconds: float) -> bool:
        if not self._realtime:
            return True
        left = checkpoint.phase_started_at + timedelta(seconds=seconds) - timezone.now()
        time.sleep(max(0.0, min(left.total_seconds(), MOST_SLEEP)))
        return left <= timedelta(0)

    def _stf_is_due(self) -> bool:
        """Whether the next STF is due; if so, the one after it is due an interval later."""
        if not self._realtime:
            return True
        now = time.monotonic()
        if now < self._due:
            time.sleep(min(self._due - now, MOST_SLEEP))
            if time.monotonic() < self._due:
                return False
        self._due = max(self._due, now - MOST_CATCH_UP) + stf_interval(self._daq)
        return True
