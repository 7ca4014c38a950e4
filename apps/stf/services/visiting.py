"""What agents of the existing system say over REST of the end of a run, and of the status of an STF."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.runs import journal
from apps.runs import services as runs
from apps.runs.choices import TAKING_DATA
from apps.runs.errors import FieldRefused, NotFound
from apps.runs.inserting import insert_all, insert_if_new
from apps.runs.models import Run
from apps.runs.selectors import get_run

from ..choices import FILE_STATUS_MOVES, FileStatus
from ..models import StfFile, StfRemark
from ..selectors.archiving import last_sequence
from ..selectors.file_status import file_status, with_status_parts


@transaction.atomic
def end_visiting_run(run_number: int, *, by: str, total_stf_files: int | None = None) -> Run:
    """Datataking has ended. Who does not say with how many STFs means those that are known by now; a run that has ended
    already is then left as it is.

    Raises:
        NotFound: there is no such run.
        FieldRefused: it is one of this testbed's own DAQ.
    """
    run = get_run(run_number)
    if total_stf_files is None and run.lifecycle not in TAKING_DATA:
        return run
    if not runs.is_visiting(run):
        raise FieldRefused(
            "end_time",
            f"run {run_number} is one of this testbed's own DAQ: stop it with control_run RUN stop",
        )
    count = last_sequence(run) if total_stf_files is None else total_stf_files
    with runs.said_over_rest(by, "end_run"):
        return runs.end_run(run_number, total_stf_files=count)


def keep_remarks(noted: Iterable[tuple[StfFile, dict[str, Any]]], *, by: str) -> None:
    """Keep what was noted of STFs that have just been recorded."""
    insert_all([StfRemark(stf=stf, metadata=notes, said_by=by) for stf, notes in noted])


@transaction.atomic
def remark(
    stf_filename: str, *, by: str, status: FileStatus | None = None, metadata: dict[str, Any] | None = None
) -> StfFile:
    """Note a status of an STF, or other notes on it; None is what is not said.

    Raises:
        NotFound: there is no such STF.
        FieldRefused: the status does not follow on the present one, or is for this testbed's processing to say.
    """
    stf = StfFile.objects.select_for_update().filter(stf_filename=stf_filename).first()
    if stf is None:
        raise NotFound(f"there is no STF {stf_filename}")
    insert_if_new(StfRemark(stf=stf, said_by=by))
    known = with_status_parts(StfFile.objects.select_related("run")).get(pk=stf.pk)
    changed = _changed(known, status, metadata)
    if changed:
        StfRemark.objects.filter(stf=stf).update(**changed, said_by=by, said_at=timezone.now())
        with runs.said_over_rest(by):
            journal.record(
                journal.Change("stf_remarked", run=known.run, subject=stf_filename, payload=changed)
            )
    return with_status_parts(StfFile.objects.select_related("run")).get(pk=stf.pk)


def _changed(stf: StfFile, status: FileStatus | None, metadata: dict[str, Any] | None) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    now = file_status(stf)
    if status is not None and status != now:
        _check_move(stf, now, status)
        changed["status"] = status.value
    if metadata is not None and metadata != stf.remark.metadata:
        changed["metadata"] = metadata
    return changed


def _check_move(stf: StfFile, now: FileStatus, after: FileStatus) -> None:
    if stf.site_processings:
        raise FieldRefused(
            "status",
            f"this testbed processes {stf} itself, and it is {now.value}: nobody else can say {after.value}",
        )
    possible = sorted(FILE_STATUS_MOVES[now])
    if after not in possible:
        raise FieldRefused(
            "status",
            f"{now.value} does not lead to {after.value}; it leads to {', '.join(possible) or 'nothing'}",
        )
