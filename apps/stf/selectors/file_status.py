"""The existing system's one status of an STF, out of its facets."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet

from apps.runs.models import Run
from apps.runs.related import with_related

from ..choices import FileStatus, ProcessingState, Registration
from ..models import StfFile, StfProcessing

_BUSY = frozenset({ProcessingState.QUEUED, ProcessingState.RUNNING})


def with_status_parts(stfs: QuerySet[StfFile]) -> QuerySet[StfFile]:
    """The STFs with what `file_status` looks at: the remark, and `site_processings`, their processings; of both what is
    shown."""
    shown = StfProcessing.objects.only("stf", "site", "state", "reason", "attempts", "done_at")
    noted = with_related(stfs, remark=["status", "metadata"])
    return noted.prefetch_related(Prefetch("processings", shown, to_attr="site_processings"))  # type: ignore[no-redef] # by the model


def stf_rows() -> QuerySet[StfFile]:
    """All STFs, newest first, with the number of their run, what `file_status` looks at, and `copies`, their replicas. A
    list: `replicas` would make a manager of each STF, which costs more than the rows themselves."""
    number = Prefetch("run", Run.objects.only("run_number"))
    copies = Prefetch("replicas", to_attr="copies")
    rows = StfFile.objects.prefetch_related(number, copies)  # type: ignore[no-redef] # by the model
    return with_status_parts(rows).order_by("-pk")


def without_copies(stf: StfFile) -> None:
    """Let an STF that has just been recorded know that it has no replicas and no processing yet: nothing is asked for."""
    stf.copies, stf.site_processings = [], []


def file_status(stf: StfFile) -> FileStatus:
    """The status: of the processing here, or if there is none what another system said. No query, `with_status_parts`."""
    if stf.registration == Registration.FAILED:
        return FileStatus.FAILED
    states = {processing.state for processing in stf.site_processings}
    if not states:
        said = getattr(stf, "remark", None)
        return FileStatus(said.status) if said and said.status else FileStatus.REGISTERED
    if states & _BUSY:
        return FileStatus.PROCESSING
    if ProcessingState.FAILED in states:
        return FileStatus.FAILED
    return FileStatus.PROCESSED if states == {ProcessingState.DONE} else FileStatus.REGISTERED


def of_status(stfs: QuerySet[StfFile], status: FileStatus) -> QuerySet[StfFile]:
    """Those that are in this status."""
    has = {name: _processed(which) for name, which in _WHICH.items()}
    said = Q(~has["any"], remark__status=status)
    if status == FileStatus.FAILED:
        ours = ~has["busy"] & has["failed"]
        return stfs.filter(Q(registration=Registration.FAILED) | Q(ours) | said)
    accepted = stfs.exclude(registration=Registration.FAILED)
    match status:
        case FileStatus.PROCESSING:
            return accepted.filter(Q(has["busy"]) | said)
        case FileStatus.PROCESSED:
            return accepted.filter(Q(has["any"] & ~has["open"]) | said)
        case FileStatus.REGISTERED:
            unsaid = Q(~has["any"]) & (Q(remark__isnull=True) | Q(remark__status=""))
            waits = has["open"] & ~has["busy"] & ~has["failed"]
            return accepted.filter(Q(waits) | unsaid | said)
    return accepted.filter(said)


_WHICH = {
    "any": Q(),
    "busy": Q(state__in=_BUSY),
    "failed": Q(state=ProcessingState.FAILED),
    "open": ~Q(state=ProcessingState.DONE),
}


def _processed(which: Q) -> Exists:
    return Exists(StfProcessing.objects.filter(which, stf=OuterRef("pk")))
