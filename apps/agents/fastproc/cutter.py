"""The cutter: makes slices of samples, and lets go of those that are too many."""

from __future__ import annotations

from apps.stf import services


def cut() -> bool:
    """The step of the loop `cutter`; True when more samples may wait."""
    decided = services.cut_samples()
    services.shed_backlogs()
    return decided == services.SAMPLES_AT_ONCE
