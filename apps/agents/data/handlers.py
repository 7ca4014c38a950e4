"""What the messages of the DAQ mean to the data agent. They are written down here; the loops do the work."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.utils import timezone

from apps.runs import services as runs
from apps.runs.core_states import CoreState, is_legal, pair_name
from apps.runs.errors import DomainError
from apps.runs.selectors import is_in_journal
from apps.stf import services as stf_services

from ..bus import schemas


def run_is_imminent(message: schemas.RunImminent) -> None:
    """The registrar opens the run's dataset ahead of its first STF; there is nothing to write down."""


def stf_was_generated(message: schemas.StfGen) -> None:
    """An STF is complete in the exit buffer.

    Raises:
        DomainError: its core state is no legal pair, it lies elsewhere, or the run does not take it.
    """
    # What is announced here is deleted one day: nobody shall make the DAQ delete a file that is not its own.
    path = Path(message.file_url).resolve()
    if not path.is_relative_to(settings.SWF_E0_BUFFER.resolve()):
        raise DomainError(
            f"stf_gen: file_url {message.file_url!r} is not in the exit buffer, {settings.SWF_E0_BUFFER}"
        )
    pair = (message.state, message.substate)
    if not is_legal(*pair):
        states = ", ".join(CoreState)
        raise DomainError(
            f"stf_gen: state and substate {pair_name(pair)} are no legal pair; states are {states}"
        )
    stf_services.record_generated(
        message.run_number,
        stf_services.GeneratedStf(
            sequence=message.sequence,
            stf_filename=message.filename,
            file_url=message.file_url,
            size_bytes=message.size_bytes,
            checksum=message.checksum,
            daq_state=message.state,
            daq_substate=message.substate,
            generated_at=message.occurred_at or timezone.now(),
            tf_first=message.tf_first,
            tf_count=message.tf_count,
            begin_time=message.start,
            end_time=message.end,
        ),
    )


def run_has_ended(message: schemas.EndRun) -> None:
    """The count is known, or corrected; a repetition changes nothing.

    What comes out of our own journal was done before it was written there. Done again, it would take back whatever was
    said since, and that would be said again: two corrections in a row would chase each other for ever.
    """
    if is_in_journal(message.msg_id):
        return
    runs.end_run(
        message.run_number,
        total_stf_files=message.total_stf_files,
        reason=message.reason,
        aborted=message.aborted,
    )
