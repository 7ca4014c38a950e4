"""Counting the STFs of runs by how far they have come; as many queries for a hundred runs as for one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Q

from apps.runs.models import Run

from ..choices import BufferState, ProcessingState, Registration, ReplicaState
from ..models import Replica, StfFile, StfProcessing


@dataclass(frozen=True)
class SiteCounts:
    """How far the STFs have come that are to be processed at one site."""

    waiting: int = 0
    queued: int = 0
    running: int = 0
    processed: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        """All that are there."""
        return self.waiting + self.queued + self.running + self.processed + self.failed


_FIELD_OF_STATE = {
    ProcessingState.WAITING: "waiting",
    ProcessingState.QUEUED: "queued",
    ProcessingState.RUNNING: "running",
    ProcessingState.DONE: "processed",
    ProcessingState.FAILED: "failed",
}


def site_counts(runs: Sequence[Run]) -> dict[int, dict[str, SiteCounts]]:
    """Counts of processing by run's id and site, in one query; a run whose policy is none has no sites."""
    found: dict[int, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    rows = (
        StfProcessing.objects.filter(run__in=runs)
        .values_list("run_id", "site", "state")
        .annotate(Count("pk"))
        .order_by("site")
    )
    for run_id, site, state, count in rows:
        found[run_id][site][_FIELD_OF_STATE[ProcessingState(state)]] = count
    return {
        run_id: {site: SiteCounts(**counts) for site, counts in sites.items()}
        for run_id, sites in found.items()
    }


@dataclass(frozen=True)
class StageCounts:
    """How far the STFs of a run have come. `verified` counts by RSE, `processing` by site."""

    generated: int
    registered: int
    failed: int
    verified: dict[str, int]
    releasable: int
    released: int
    processing: dict[str, SiteCounts] = field(default_factory=dict)

    @property
    def safe(self) -> int:
        """STFs verified at every site."""
        return self.releasable + self.released

    @property
    def processed(self) -> dict[str, int]:
        """STFs processed, by site."""
        return {site: counts.processed for site, counts in self.processing.items()}


_TOTALS = {
    "generated": Count("pk"),
    "registered": Count("pk", filter=Q(registration=Registration.REGISTERED)),
    "failed": Count("pk", filter=Q(registration=Registration.FAILED)),
    "releasable": Count("pk", filter=Q(buffer=BufferState.RELEASABLE)),
    "released": Count("pk", filter=Q(buffer=BufferState.RELEASED)),
}


def stage_counts(run: Run) -> StageCounts:
    """Counts per stage of a run, in three queries."""
    return counts_of_runs([run])[run.pk]


def counts_of_runs(runs: Sequence[Run]) -> dict[int, StageCounts]:
    """Stage counts of many runs by their id, in three queries. Runs need their `execution`."""
    rows = StfFile.objects.filter(run__in=runs).values("run_id").annotate(**_TOTALS).order_by()
    totals: dict[int, dict[str, Any]] = {row["run_id"]: {**row} for row in rows}
    verified: dict[int, dict[str, int]] = defaultdict(dict)
    for run_id, rse, count in (
        Replica.objects.filter(stf__run__in=runs, state=ReplicaState.VERIFIED)
        .values_list("stf__run_id", "rse")
        .annotate(Count("pk"))
        .order_by()
    ):
        verified[run_id][rse] = count
    processing = site_counts(runs)
    return {
        run.pk: StageCounts(
            **{name: totals.get(run.pk, {}).get(name, 0) for name in _TOTALS},
            verified={rse: verified[run.pk].get(rse, 0) for rse in run.parameters["replication"]["rses"]},
            processing=processing.get(run.pk, {}),
        )
        for run in runs
    }
