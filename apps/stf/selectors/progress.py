"""What people are shown of processing: where the STFs of a run go, what waits and why, what has failed, what came of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, F, Min, Prefetch, Q, QuerySet

from apps.runs.models import Run

from ..choices import BufferState, Policy, ProcessingState
from ..models import (
    Brake,
    DecisionBox,
    ProcessingJob,
    ProcessingOutput,
    StfFile,
    StfProcessing,
)
from .counts import SiteCounts
from .processing import job_list
from .reasons import why_unprocessed

# Reasons differ by job and site at most; more than this nobody reads.
MOST_REASONS = 50


@dataclass(frozen=True)
class BoxView:
    """The decision box of a run as it stands; before it is made, what the run's parameters will make of it."""

    policy: Policy
    sites: list[str]
    rules: list[str]
    changed_by: str = ""
    changed_at: datetime | None = None

    @property
    def used(self) -> list[str]:
        """The sites that STFs are given to by this policy."""
        return [] if self.policy == Policy.NONE else self.sites


def box_of(run: Run) -> BoxView:
    """The decision box of a run; one query."""
    box = DecisionBox.objects.filter(run=run).first()
    if box is not None:
        return BoxView(Policy(box.policy), box.sites, box.rules, box.changed_by, box.changed_at)
    wanted = run.parameters.get("processing", {})
    sites = list(wanted.get("sites") or run.parameters["replication"]["rses"])
    return BoxView(Policy(wanted.get("policy", Policy.NONE)), sites, list(wanted.get("rules", [])))


def sites_in_use(box: BoxView, counts: dict[str, SiteCounts]) -> list[str]:
    """The sites that a run is processed at: those of its policy, and those that an earlier one has named."""
    return list(dict.fromkeys([*box.used, *sorted(counts)]))


def box_list() -> QuerySet[DecisionBox]:
    """All decision boxes with their run, newest first."""
    return DecisionBox.objects.select_related("run").order_by("-pk")


def brake_list() -> QuerySet[Brake]:
    """All brakes that were ever put on, with their run; that of all runs first, then the newest."""
    return Brake.objects.select_related("run").order_by(F("run").desc(nulls_first=True))


def global_brake() -> Brake | None:
    """The brake of all runs, while it is on."""
    return Brake.objects.filter(run__isnull=True, is_on=True).first()


def processed_everywhere(run: Run) -> int:
    """STFs of a run that are processed at every site where they are to be; those that are to be at none do not count."""
    places = run.stf_files.annotate(
        places=Count("processings"),
        done=Count("processings", filter=Q(processings__state=ProcessingState.DONE)),
    )
    return places.filter(places__gt=0, done=F("places")).count()


@dataclass(frozen=True)
class OutputCounts:
    """Files that the jobs at a site have made: all, and those that Rucio was seen to hold."""

    made: int = 0
    registered: int = 0


def output_counts(runs: Sequence[Run]) -> dict[int, dict[str, OutputCounts]]:
    """Outputs by run's id and site, in one query."""
    found: dict[int, dict[str, OutputCounts]] = defaultdict(dict)
    rows = (
        ProcessingOutput.objects.filter(job__task__run__in=runs)
        .values_list("job__task__run_id", "rse")
        .annotate(Count("pk"), Count("registered_at"))
        .order_by("rse")
    )
    for run_id, rse, made, registered in rows:
        found[run_id][rse] = OutputCounts(made, registered)
    return found


@dataclass(frozen=True)
class Waiting:
    """So many STFs of a site that are not processed, for the same reason; `sequence` is the first of them."""

    site: str
    state: ProcessingState
    reason: str
    count: int
    sequence: int


def waiting_reasons(run: Run) -> list[Waiting]:
    """What is not processed yet and why, the failed first, then the most; as many queries for any number of STFs."""
    groups = list(
        StfProcessing.objects.filter(run=run)
        .exclude(state=ProcessingState.DONE)
        .values("site", "state", "reason")
        .annotate(count=Count("pk"), example=Min("pk"), sequence=Min("stf__sequence"))
        .order_by("-count", "site")[:MOST_REASONS]
    )
    examples = StfProcessing.objects.filter(pk__in=[group["example"] for group in groups])
    why = why_unprocessed(list(examples))
    found: dict[tuple[str, str, str], Waiting] = {}
    for group in groups:
        # A processing may be done by the time it is asked about.
        reason = why.get(group["example"]) or group["reason"]
        key = (group["site"], group["state"], reason)
        same = found.get(key)
        found[key] = Waiting(
            group["site"],
            ProcessingState(group["state"]),
            reason,
            group["count"] + (same.count if same else 0),
            min(group["sequence"], same.sequence) if same else group["sequence"],
        )
    return sorted(found.values(), key=lambda one: (one.state != ProcessingState.FAILED, -one.count))


def failed_jobs(run: Run | None = None) -> QuerySet[ProcessingJob]:
    """Jobs that have failed, of a run or of all, with their STFs, the newest first."""
    jobs = job_list().filter(status="failed")
    return jobs if run is None else jobs.filter(task__run=run)


def stf_processings(stf: StfFile) -> list[StfProcessing]:
    """The processing of an STF by site, with all its jobs in order and their outputs; a constant number of queries."""
    jobs = ProcessingJob.objects.select_related("task").prefetch_related("outputs").order_by("panda_id")
    return list(
        StfProcessing.objects.filter(stf=stf)
        .select_related("run")
        .prefetch_related(Prefetch("jobs", jobs))
        .order_by("site")
    )


@dataclass(frozen=True, slots=True)
class ProcessingCell:
    """How far an STF has come at one site."""

    sequence: int
    site: str
    state: str
    reason: str


def processing_cells(run: Run, *, since: int) -> list[ProcessingCell]:
    """The processings of a run's STFs from sequence `since` on, and of those before it that are not safe yet; one query."""
    rows = (
        StfProcessing.objects.filter(run=run)
        .filter(Q(stf__sequence__gte=since) | Q(stf__buffer=BufferState.HELD))
        .order_by("stf__sequence")
        .values_list("stf__sequence", "site", "state", "reason")
    )
    return [ProcessingCell(*row) for row in rows]


def site_counts_before(run: Run, sequence: int) -> dict[str, SiteCounts]:
    """By site, how far the safe STFs before this sequence have come; one query."""
    older = StfProcessing.objects.filter(run=run, stf__sequence__lt=sequence)
    rows = (
        older.exclude(stf__buffer=BufferState.HELD)
        .values_list("site", "state")
        .annotate(Count("pk"))
        .order_by()
    )
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for site, state, count in rows:
        found[site]["processed" if state == ProcessingState.DONE else state] = count
    return {site: SiteCounts(**counts) for site, counts in found.items()}
