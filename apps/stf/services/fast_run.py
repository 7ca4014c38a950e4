"""The fast path of a run: one row per run, made by whoever needs it first."""

from __future__ import annotations

from apps.runs.inserting import insert_if_new
from apps.runs.models import Run
from apps.runs.workflow_parameters import FastMon, FastProc

from ..models import FastRun


def fastmon_parameters(run: Run) -> FastMon:
    """What the run's workflow says of fast monitoring; of a run older than this section, the defaults."""
    return FastMon.model_validate(run.parameters.get("fastmon", {}))


def fastproc_parameters(run: Run) -> FastProc:
    """What the run's workflow says of slices; of a run older than this section, the defaults."""
    return FastProc.model_validate(run.parameters.get("fastproc", {}))


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
