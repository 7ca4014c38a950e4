"""What an operator asks of a run. The wish becomes a message; the DAQ, which owns the state, acts on it."""

from __future__ import annotations

from typing import Literal

from django.db import transaction

from .. import journal
from ..choices import TAKING_DATA
from ..errors import DomainError
from ..models import Run
from ..selectors import get_run
from .visiting import is_visiting

Control = Literal["pause", "resume", "stop", "abort"]


@transaction.atomic
def control_run(run_number: int, control: Control, *, by: str, reason: str = "") -> Run:
    """Ask the DAQ to pause, resume, stop or abort a run.

    Raises:
        NotFound: no such run.
        DomainError: the run takes no data any more, or it is one of another DAQ, which nobody here can ask.
    """
    run = get_run(run_number)
    if is_visiting(run):
        raise DomainError(
            f"run {run_number} is one of another DAQ, which this testbed cannot tell to {control}: tell that DAQ"
        )
    if run.lifecycle not in TAKING_DATA:
        raise DomainError(
            f"run {run_number} is {run.lifecycle}: only a run that takes data can be told to {control}"
        )
    with journal.on_behalf_of(by):
        journal.record(
            journal.Change(f"{control}_workflow", run=run, payload={"reason": reason, "requested_by": by})
        )
    return run
