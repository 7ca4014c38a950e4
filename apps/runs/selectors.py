"""Reads of runs and their journal. All return querysets or typed values; nothing here writes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import Case, CharField, Count, DateTimeField, F, Func, Max, Min, QuerySet, Value, When
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce

from .choices import AWAITING_CLOSEOUT, STATUS_OF_LIFECYCLE, ExecutionStatus
from .errors import NotFound
from .models import STATE_EVENTS, JournalCursor, JournalEntry, Run, WorkflowDefinition, WorkflowExecution
from .related import with_related


def run_list() -> QuerySet[Run]:
    """All runs, newest first, with what is shown of a run."""
    return with_related(
        Run.objects.all(),
        execution=["execution_id", "executed_by", "parameter_values", "git_version", "declared_status"],
        execution__workflow_definition=["workflow_name", "version"],
        namespace=["name"],
    )


def get_run(run_number: int) -> Run:
    """One run.

    Raises:
        NotFound: there is none of this number.
    """
    run = run_list().filter(run_number=run_number).first()
    if run is None:
        raise NotFound(f"there is no run {run_number}")
    return run


def runs_awaiting_closeout() -> QuerySet[Run]:
    """Runs that have ended and may still change their verdict."""
    return run_list().filter(lifecycle__in=AWAITING_CLOSEOUT).order_by("run_number")


def definition_list() -> QuerySet[WorkflowDefinition]:
    """All versions of workflows, the newest first."""
    return WorkflowDefinition.objects.order_by("-pk")


def execution_list() -> QuerySet[WorkflowExecution]:
    """All executions with definition, namespace and run, the newest first."""
    return with_related(
        WorkflowExecution.objects.order_by("-pk"),
        workflow_definition=["workflow_name"],
        namespace=["name"],
        run=["run_number", "lifecycle", "end_time"],
    )


def execution_status(execution: WorkflowExecution) -> ExecutionStatus:
    """What its runner says, of an execution of this testbed what its run is."""
    if execution.declared_status:
        return ExecutionStatus(execution.declared_status)
    run = getattr(execution, "run", None)
    return STATUS_OF_LIFECYCLE[run.lifecycle_choice] if run else ExecutionStatus.PENDING


def run_timeline(run: Run, *, leave_out: Iterable[str] = ()) -> QuerySet[JournalEntry]:
    """The run's journal in the order it was written."""
    return run.journal.exclude(kind__in=list(leave_out)).order_by("id")


def expected_stfs(run: Run) -> int | None:
    """How many STFs are to come in all: as `end_run` said, before that as the workflow plans; None when nobody knows."""
    if run.expected_stf_count is not None:
        return run.expected_stf_count
    daq = run.parameters["daq_state_machine"]
    if daq["stf_count"] and daq["physics_period_count"] and not run.parameters["stf"]["from_dir"]:
        return int(daq["stf_count"] * daq["physics_period_count"])
    return None


@dataclass(frozen=True, slots=True)
class KindCount:
    """So many entries of one kind, RSE or site, and reason in one step of time, the last of them made at `last`."""

    step: datetime
    last: datetime
    kind: str
    rse: str | None
    reason: str | None
    count: int
    first_subject: str


def journal_counts(
    run: Run, kinds: Iterable[str], *, every: timedelta, since: datetime | None = None
) -> list[KindCount]:
    """A run's entries of these kinds, counted per step of time, newest first; one query."""
    entries = run.journal.filter(kind__in=list(kinds))
    if since is not None:
        entries = entries.filter(occurred_at__gte=since)
    rows = (
        entries.annotate(step=_DateBin(Value(every), F("occurred_at"), Value(_EPOCH)))
        .values("step", "kind", rse=_PLACE, reason=KT("payload__reason"))
        .annotate(count=Count("id"), last=Max("occurred_at"), first_subject=Min("subject"))
        .order_by("-step", "kind", "rse")
    )
    return [KindCount(**row) for row in rows]


# Where it happened; what `stf_ready` calls the site are all sites that the STF is given to.
_PLACE = Case(
    When(kind="stf_ready", then=Value(None)),
    default=Coalesce(KT("payload__rse"), KT("payload__site")),
    output_field=CharField(),
)


class _DateBin(Func):
    function = "date_bin"
    output_field = DateTimeField()


_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def journal() -> QuerySet[JournalEntry]:
    """The sequenced journal in order of position."""
    return with_related(
        JournalEntry.objects.filter(position__isnull=False).order_by("position"),
        run=["run_number"],
        run__execution=["execution_id"],
        namespace=["name"],
    )


def state_events() -> QuerySet[JournalEntry]:
    """Changes of the state of runs, and what others say of it, the newest first."""
    return with_related(
        JournalEntry.objects.filter(kind__in=STATE_EVENTS).order_by("-pk"), run=["run_number"]
    )


def entries_after(position: int, *, limit: int) -> list[JournalEntry]:
    """The next entries for a follower that has seen everything up to `position`, in order of position."""
    return list(journal().filter(position__gt=position)[:limit])


def in_journal(msg_ids: Iterable[UUID]) -> set[UUID]:
    """Those of these messages that are entries of this installation's journal."""
    wanted = list(msg_ids)
    if not wanted:
        return set()
    return set(JournalEntry.objects.filter(msg_id__in=wanted).values_list("msg_id", flat=True))


def newest_position() -> int:
    """The position up to which the journal is sequenced; 0 when it is empty."""
    newest = JournalEntry.objects.filter(position__isnull=False).order_by("-position").first()
    return newest.position or 0 if newest else 0


def unsequenced_since() -> datetime | None:
    """When the oldest entry was made that the relay has not sequenced yet; None when it is up to date."""
    oldest = JournalEntry.objects.filter(position__isnull=True).order_by("id").first()
    return oldest.occurred_at if oldest else None


def cursor_position(follower: str) -> int:
    """How far this follower has come; 0 before its first step."""
    cursor = JournalCursor.objects.filter(follower=follower).first()
    return cursor.position if cursor else 0
