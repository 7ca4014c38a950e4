"""The slices of a run and the workers that process them, for its page of fast monitoring."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from apps.runs.models import Run
from apps.stf.choices import BacklogPolicy
from apps.stf.fast_parameters import fastproc_parameters
from apps.stf.models import FastRun, Worker
from apps.stf.selectors.fast_lists import worker_list
from apps.stf.selectors.slices import (
    Backlog,
    SliceReason,
    backlog,
    fast_run_of,
    slice_reasons,
    slicing_reasons,
)

from .run_processing import Segment, segments

# Workers that have left are shown for so long, and of all so many.
LEFT_SHOWN = timedelta(minutes=10)
MOST_WORKERS = 100
REASONS_SHOWN = 10
COUNTS = ("created", "queued", "claimed", "done", "failed", "skipped")


@dataclass(frozen=True)
class SlicesView:
    """What is known of the slices of a run. `fast` and `backlog` are None as long as nothing of it was sampled."""

    fast: FastRun | None
    backlog: Backlog | None
    reasons: list[SliceReason]
    slicing_reasons: list[tuple[str, int]]
    workers: list[Worker]
    per_sample: int
    policy: BacklogPolicy

    @property
    def counts(self) -> dict[str, int]:
        """Slices by state, and all that were ever made."""
        return {name: getattr(self.fast, f"slices_{name}", 0) for name in COUNTS}

    @property
    def bar(self) -> list[Segment]:
        """The same as parts of a bar."""
        counts = self.counts
        return segments(
            [
                ("done", "done", counts["done"]),
                ("running", "given out", counts["claimed"]),
                ("queued", "queued", counts["queued"]),
                ("waiting", "skipped", counts["skipped"]),
                ("failed", "failed", counts["failed"]),
            ]
        )

    @property
    def drain_time(self) -> timedelta | None:
        """How long until the backlog is through; None where it does not shrink."""
        seconds = self.backlog.seconds_to_drain if self.backlog else None
        return None if seconds is None else timedelta(seconds=seconds)


def slices_view(run: Run) -> SlicesView:
    """Slices and workers as they are; a constant number of queries."""
    fast = fast_run_of(run)
    parameters = fastproc_parameters(run)
    recently = timezone.now() - LEFT_SHOWN
    workers = worker_list().filter(Q(ended_at__isnull=True) | Q(ended_at__gt=recently))
    return SlicesView(
        fast=fast,
        backlog=backlog(fast) if fast else None,
        reasons=slice_reasons(run, limit=REASONS_SHOWN),
        slicing_reasons=slicing_reasons(run, limit=REASONS_SHOWN),
        workers=list(workers[:MOST_WORKERS]),
        per_sample=parameters.slices_per_sample,
        policy=BacklogPolicy(fast.backlog_policy if fast else parameters.backlog_policy),
    )


def slices_content(view: SlicesView) -> dict[str, Any]:
    """The same as JSON; times in ISO 8601, lengths of time in seconds."""
    waiting = view.backlog
    return {
        **view.counts,
        "policy": str(view.policy),
        "limit": waiting.limit if waiting else None,
        "backlog": waiting.open if waiting else 0,
        "oldest_at": _iso(waiting.oldest_at) if waiting else None,
        "arrival_rate": waiting.arrival_rate if waiting else 0.0,
        "finish_rate": waiting.finish_rate if waiting else 0.0,
        "slice_seconds": waiting.slice_seconds if waiting else None,
        "seconds_to_drain": waiting.seconds_to_drain if waiting else None,
        "waits_for": waiting.waits_for if waiting else "",
        "workers_up": waiting.workers_up if waiting else 0,
        "workers_wanted": waiting.workers_wanted if waiting else 0,
        "workers_target": view.fast.target_worker_count if view.fast else None,
        "dispatching_since": _iso(view.fast.dispatching_since) if view.fast else None,
        "drained_at": _iso(view.fast.drained_at) if view.fast else None,
        "reasons": [
            {"status": str(one.status), "reason": one.reason, "count": one.count} for one in view.reasons
        ],
        "samples_not_cut": [{"reason": reason, "count": count} for reason, count in view.slicing_reasons],
        "workers": [_worker(worker) for worker in view.workers],
    }


def _worker(worker: Worker) -> dict[str, Any]:
    return {
        "worker_id": worker.worker_id,
        "location": worker.location,
        "status": worker.status,
        "slice": str(worker.current_slice) if worker.current_slice else None,
        "slices_completed": worker.slices_completed,
        "slices_failed": worker.slices_failed,
        "last_heartbeat": worker.last_heartbeat.isoformat(),
        "end_reason": worker.end_reason,
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
