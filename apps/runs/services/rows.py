"""What every service that changes a run begins and ends with: its locked row, and its new lifecycle."""

from __future__ import annotations

from django.utils import timezone

from ..choices import RunLifecycle
from ..errors import NotFound
from ..models import Run


def locked_run(run_number: int) -> Run:
    """The run, locked until the transaction ends.

    Raises:
        NotFound: there is none of this number.
    """
    run = (
        Run.objects.select_for_update(of=("self",))
        .select_related("execution", "namespace")
        .filter(run_number=run_number)
        .first()
    )
    if run is None:
        raise NotFound(f"there is no run {run_number}")
    return run


def set_lifecycle(run: Run, lifecycle: RunLifecycle) -> None:
    """Give the row its new lifecycle and the time of it; the caller saves."""
    run.lifecycle, run.lifecycle_changed_at = lifecycle, timezone.now()
