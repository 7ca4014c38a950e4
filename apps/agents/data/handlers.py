"""What the messages of the DAQ mean to the data agent. They are written down here; the loops do the work.

Most come out of our own journal: the change was made before it was written there, and is not made again here. The others
are heard from a DAQ that is not ours: its runs are taken over and followed.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.utils import timezone

from apps.runs import services as runs
from apps.runs.choices import RunLifecycle
from apps.runs.core_states import CoreState, is_legal, pair_name
from apps.runs.errors import DomainError, FieldRefused
from apps.runs.journal import Cause, current_cause
from apps.runs.selectors import get_run
from apps.stf import services as stf_services
from apps.stf.models import StfFile

from ..bus import schemas
from .exit_buffer import AnnouncedFile, announced_files


def run_is_imminent(message: schemas.RunImminent) -> None:
    """The registrar opens the run's dataset ahead of its first STF. A run of another DAQ is known from now on."""
    cause = current_cause()
    if cause.heard is None:
        return
    run = runs.take_over_run(
        message.run_number,
        runs.external_workflow(),
        namespace=message.namespace or settings.SWF_NAMESPACE,
        daq=cause.heard.sender,
        execution_id=message.execution_id or "",
        run_conditions=message.run_conditions,
    )
    # Over REST the run may have been told further than this.
    if run.lifecycle == RunLifecycle.REQUESTED:
        core_state_changed(message)


def core_state_changed(message: schemas.CoreStateMessage) -> None:
    """The DAQ has changed its state.

    Raises:
        DomainError: no way leads there from where the run is, or there is no such run.
    """
    if current_cause().heard is None:
        return
    reason = getattr(message, "reason", "")
    pair = (message.state, message.substate)
    runs.follow_daq(message.run_number, pair, message={"reason": reason} if reason else None)


def stf_was_generated(message: schemas.StfGen) -> None:
    """An STF is complete in the exit buffer.

    Raises:
        DomainError: its core state is no legal pair, it lies elsewhere or nowhere, or the run does not take it.
    """
    stf_services.record_generated(message.run_number, *_said_of_stfs([message]))


def stfs_were_generated(messages: Sequence[schemas.StfGen], causes: Sequence[Cause]) -> list[StfFile]:
    """Several STFs are complete, of one or more runs.

    Returns:
        The STFs in the same order.

    Raises:
        DomainError: as `stf_was_generated`, of any of them.
    """
    return stf_services.record_generated_many(announcements(messages, causes))


def announcements(
    messages: Sequence[schemas.StfGen], causes: Sequence[Cause]
) -> list[stf_services.Announcement]:
    """What several messages say, each with its cause.

    Raises:
        DomainError: a core state is no legal pair, or an STF lies elsewhere or nowhere.
    """
    return [
        stf_services.Announcement(message.run_number, stf, cause)
        for message, stf, cause in zip(messages, _said_of_stfs(messages), causes, strict=True)
    ]


def _said_of_stfs(messages: Sequence[schemas.StfGen]) -> list[stf_services.GeneratedStf]:
    for message in messages:
        pair = (message.state, message.substate)
        if not is_legal(*pair):
            states = ", ".join(CoreState)
            raise FieldRefused(
                "state", f"{pair_name(pair)!r} is no legal pair of state and substate; states are {states}"
            )
    return [_said_of_stf(*both) for both in zip(messages, announced_files(messages), strict=True)]


def _said_of_stf(message: schemas.StfGen, file: AnnouncedFile) -> stf_services.GeneratedStf:
    return stf_services.GeneratedStf(
        sequence=message.sequence,
        stf_filename=message.filename,
        file_url=file.file_url,
        size_bytes=file.size_bytes,
        checksum=file.checksum,
        daq_state=message.state,
        daq_substate=message.substate,
        generated_at=message.occurred_at or timezone.now(),
        tf_first=message.tf_first,
        tf_count=message.tf_count,
        begin_time=message.start,
        end_time=message.end,
    )


def run_has_ended(message: schemas.EndRun) -> None:
    """The count is known, or corrected; a repetition changes nothing.

    What comes out of our own journal was done before it was written there. Done again, it would take back whatever was
    said since, and that would be said again: two corrections in a row would chase each other for ever.

    Raises:
        DomainError: it is heard of a run of our own DAQ, or there is no such run.
    """
    if current_cause().heard is None:
        return
    if not runs.is_visiting(get_run(message.run_number)):
        raise DomainError(
            f"end_run: run {message.run_number} is one of this testbed's own DAQ, which alone ends it: "
            "control_run RUN stop ends one under way, control_run RUN close one that has ended and is not complete"
        )
    runs.end_run(
        message.run_number,
        total_stf_files=message.total_stf_files,
        reason=message.reason,
        aborted=message.aborted,
    )
