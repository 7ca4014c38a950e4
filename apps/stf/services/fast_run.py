"""The fast path of a run: one row per run, made by whoever needs it first."""

from __future__ import annotations

from apps.runs.inserting import insert_if_new
from apps.runs.models import Run

from ..fast_parameters import fastmon_parameters, fastproc_parameters
from ..models import FastRun

__all__ = ["ensure_fast_run", "fastmon_parameters", "fastproc_parameters"]


def ensure_fast_run(run: Run) -> FastRun:
    """The fast path of a run, made from its workflow if it is not there yet; idempotent."""
    if fast := FastRun.objects.filter(run=run).first():
        return fast
    parameters = fastproc_parameters(run)
    insert_if_new(
        FastRun(
            run=run,
            backlog_policy=parameters.backlog_policy,
            target_worker_count=parameters.target_worker_count,
        )
    )
    return FastRun.objects.get(run=run)
