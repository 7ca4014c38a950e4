"""Writes of the DAQ's checkpoint: which step a run is at, and what an operator wants of it."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.runs import journal
from apps.runs.errors import DomainError
from apps.runs.models import Run

from ..choices import DaqCommand, DaqPhase
from ..models import DaqCheckpoint


class LostCheckpoint(DomainError):
    """Another process drives this run: its checkpoint moved under our feet."""


def take_on(run: Run) -> None:
    """The DAQ has taken note of a requested run. Repeating it changes nothing."""
    DaqCheckpoint.objects.get_or_create(run=run)


def runs_at_work(*, namespace: str, execution_id: str | None) -> list[int]:
    """Numbers of the runs that the DAQ is at work on in a namespace, or of that execution."""
    of = (
        {"run__execution__execution_id": execution_id}
        if execution_id
        else {"run__namespace__name": namespace}
    )
    at_work = DaqCheckpoint.objects.filter(**of).exclude(phase__in=[DaqPhase.ENDING, DaqPhase.DONE])
    return list(at_work.order_by("run__run_number").values_list("run__run_number", flat=True))


def set_command(run_number: int, command: DaqCommand, reason: str) -> None:
    """Remember what the operator wants. An abort outranks a stop, a stop a pause; nothing takes them back but resume,
    which takes back a pause only.

    Raises:
        DomainError: the DAQ knows no such run, or is done with it.
    """
    checkpoint = DaqCheckpoint.objects.select_for_update().filter(run__run_number=run_number).first()
    if checkpoint is None:
        raise DomainError(f"the DAQ has no run {run_number}")
    if checkpoint.phase in {DaqPhase.ENDING, DaqPhase.DONE}:
        raise DomainError(f"the DAQ is done with run {run_number}")
    rank = [DaqCommand.NONE, DaqCommand.PAUSE, DaqCommand.STOP, DaqCommand.ABORT]
    resumes = command == DaqCommand.NONE and checkpoint.command == DaqCommand.PAUSE
    if resumes or rank.index(command) > rank.index(DaqCommand(checkpoint.command)):
        DaqCheckpoint.objects.filter(pk=checkpoint.pk).update(command=command, command_reason=reason)


def enter(checkpoint: DaqCheckpoint, phase: DaqPhase, **fields: int) -> None:
    """Move to a phase, inside the transaction of what the phase begins with."""
    moved = _as_read(checkpoint).update(phase=phase, phase_started_at=timezone.now(), **fields)
    if not moved:
        raise LostCheckpoint(f"run {checkpoint.run}: another process moved it on from {checkpoint.phase}")


@transaction.atomic
def announce_stf(checkpoint: DaqCheckpoint, run: Run, message: dict[str, Any]) -> None:
    """Say `stf_gen` for the next sequence and move on to the one after it, as one step.

    A DAQ killed before this commit makes the same file again; one killed after it goes on with the next.
    """
    sequence = checkpoint.next_sequence
    moved = _as_read(checkpoint).update(next_sequence=sequence + 1)
    if not moved:
        raise LostCheckpoint(f"run {run}: another process made STF {sequence} or left {checkpoint.phase}")
    journal.record(journal.Change("stf_gen", run=run, subject=message["filename"], payload=message))


def _as_read(checkpoint: DaqCheckpoint) -> QuerySet[DaqCheckpoint]:
    """The row, if it is where it was when it was read: not even once through the script and back in the same phase."""
    return DaqCheckpoint.objects.filter(
        pk=checkpoint.pk,
        phase=checkpoint.phase,
        phase_started_at=checkpoint.phase_started_at,
        next_sequence=checkpoint.next_sequence,
    )
