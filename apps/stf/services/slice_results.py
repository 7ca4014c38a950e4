"""What workers say has become of slices. The first good result of a slice counts, whichever try it is of; over REST, where
any agent may speak, only the word of the worker that was given the slice last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.runs.errors import NotFound
from apps.runs.inserting import update_all

from ..choices import OPEN_SLICE, SliceState
from ..models import TFSlice
from .slice_counts import Counts, counts_of

_SAVED = (
    "status",
    "lease_until",
    "reason",
    "retries",
    "assigned_worker",
    "completed_at",
    "processing_seconds",
    "result",
)


@dataclass(frozen=True)
class SliceReport:
    """A worker's word on a slice. `attempt` counts the tries from 1, if the worker says which it was; `seconds` is what it
    took; `error` says why it failed. It `must_hold` the slice if only the last worker's word counts that was given it.
    """

    req_id: UUID
    good: bool
    worker: str = ""
    attempt: int | None = None
    seconds: float | None = None
    found: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    must_hold: bool = False


@transaction.atomic
def record_results(reports: Sequence[SliceReport]) -> list[str]:
    """Apply reports in the order given. A failure is tried again, and after the last try the slice has failed.

    Returns:
        Why some of them change nothing: what their slice had become by then.

    Raises:
        NotFound: there is no such slice; nothing is applied.
    """
    ids = {report.req_id for report in reports}
    runs = dict(TFSlice.objects.filter(req_id__in=ids).values_list("req_id", "run_id"))
    if unknown := [report.req_id for report in reports if report.req_id not in runs]:
        raise NotFound(f"slice_result: no slice has the req_id {unknown[0]}")
    counts = counts_of(runs.values())
    slices = {
        one.req_id: one for one in TFSlice.objects.filter(req_id__in=ids).select_related("fastmon_file")
    }
    ignored = []
    changed: dict[UUID, TFSlice] = {}
    for report in reports:
        one = slices[report.req_id]
        if why := _why_not(one, report):
            ignored.append(f"{one}: {why}")
            continue
        _apply(counts, one, report)
        changed[one.req_id] = one
    update_all(list(changed.values()), _SAVED)
    counts.settle()
    return ignored


def _why_not(one: TFSlice, report: SliceReport) -> str:
    """Why a report changes nothing; empty when it counts."""
    if one.status not in OPEN_SLICE:
        return f"a result came when it was {one.status} already"
    if report.must_hold and report.worker != one.assigned_worker:
        return f"{report.worker} has not claimed it, but {one.assigned_worker or 'nobody'}"
    if report.good:
        return ""
    if one.status == SliceState.QUEUED or report.attempt not in (None, one.retries + 1):
        return f"try {report.attempt or one.retries} failed when it had been given up already"
    return ""


def _apply(counts: Counts, one: TFSlice, report: SliceReport) -> None:
    one.assigned_worker = report.worker or one.assigned_worker
    if not report.good:
        counts.try_again(one, report.error or "its worker gives no reason")
        return
    counts.move(one, SliceState.DONE)
    one.processing_seconds, one.result = report.seconds, report.found
    counts.runs[one.run_id].processing_seconds += report.seconds or 0.0
