"""The exit buffer's owner: deletes what the data agent has declared releasable, by the run's policy, and says so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from django.utils import timezone

from apps.runs.models import Run
from apps.stf import selectors, services
from apps.stf.models import StfFile

MOST_FILES = 200


def release() -> bool:
    """Delete a batch of what may go now, in every run; True when there may be more."""
    more = False
    for run in selectors.runs_with_releasable():
        stfs = _may_go(run)
        for stf in stfs:
            # First the file, then the word for it: killed in between, the next step finds nothing to delete and says it.
            Path(stf.file_url).unlink(missing_ok=True)
        services.mark_released(run, [stf.pk for stf in stfs])
        more = more or len(stfs) == MOST_FILES
    return more


def _may_go(run: Run) -> Sequence[StfFile]:
    policy = run.parameters["buffer"]
    candidates = selectors.releasable(run)
    match policy["release_policy"]:
        case "at_once":
            return list(candidates[:MOST_FILES])
        case "after_time":
            since = timezone.now() - timedelta(seconds=policy["release_after_seconds"])
            return list(candidates.filter(releasable_at__lte=since)[:MOST_FILES])
        case "above_fill":
            return _down_to_the_mark(list(candidates[:MOST_FILES]), policy)
        case _:
            return []


def _down_to_the_mark(candidates: Sequence[StfFile], policy: dict[str, float]) -> list[StfFile]:
    """As many of the oldest as bring the buffer down to its mark."""
    capacity = int(policy["capacity_bytes"])
    surplus = selectors.buffer_usage(capacity_bytes=capacity).held_bytes - policy["fill_mark"] * capacity
    going = []
    for stf in candidates:
        if surplus <= 0:
            break
        going.append(stf)
        surplus -= stf.size_bytes
    return going
