"""What a run's workflow says of its fast path; of a run that is older than these sections, their defaults."""

from __future__ import annotations

from apps.runs.models import Run
from apps.runs.workflow_parameters import FastMon, FastProc


def fastmon_parameters(run: Run) -> FastMon:
    """The section `[fastmon]` of a run."""
    return FastMon.model_validate(run.parameters.get("fastmon", {}))


def is_sampled_here(run: Run) -> bool:
    """Whether this testbed samples the STFs of a run; otherwise an agent of another system may, over REST."""
    return fastmon_parameters(run).stf_sampling_rate > 0


def fastproc_parameters(run: Run) -> FastProc:
    """The section `[fastproc]` of a run."""
    return FastProc.model_validate(run.parameters.get("fastproc", {}))
