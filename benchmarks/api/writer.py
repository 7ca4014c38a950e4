"""`python -m benchmarks.api.writer RATE TOTAL`: commits numbered entries, and says when (monotonic ns)."""

from __future__ import annotations

import sys
import time

import django
from django.db import transaction

# About as long as a message of an STF.
FILLER = "x" * 300


def write(rate: float, total: int) -> list[int]:
    """Commit `total` entries at `rate` a second; the moments at which the commits had returned."""
    from apps.runs import journal  # Django must be set up

    committed = []
    with journal.acting_as("benchmark"):
        begun = time.monotonic()
        for number in range(total):
            time.sleep(max(0.0, begun + number / rate - time.monotonic()))
            with transaction.atomic():
                change = journal.Change("note", subject=f"event-{number}", payload={"reason": FILLER})
                journal.record(change)
            committed.append(time.monotonic_ns())
    return committed


if __name__ == "__main__":
    django.setup()
    print(*write(float(sys.argv[1]), int(sys.argv[2])))
