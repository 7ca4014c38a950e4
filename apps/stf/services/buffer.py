"""The exit buffer's copy after it became releasable: deleted by the DAQ, then withdrawn from the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from apps.runs import journal
from apps.runs.models import Run

from ..choices import BufferState
from ..messages import stf_fields
from ..models import StfFile


@transaction.atomic
def mark_released(run: Run, stf_ids: Sequence[int]) -> int:
    """The DAQ has deleted these files. Only what was releasable can be released.

    Returns:
        How many were not known to be released before.
    """
    stfs = list(
        StfFile.objects.select_for_update()
        .filter(pk__in=stf_ids, run=run, buffer=BufferState.RELEASABLE)
        .order_by("sequence")
    )
    StfFile.objects.filter(pk__in=[stf.pk for stf in stfs]).update(
        buffer=BufferState.RELEASED, released_at=timezone.now()
    )
    journal.record_many(
        [
            journal.Change("stf_released", run=run, subject=stf.stf_filename, payload=stf_fields(stf))
            for stf in stfs
        ]
    )
    return len(stfs)


def mark_withdrawn(stf_ids: Sequence[int]) -> None:
    """Rucio no longer lists the exit buffer's copies of these released STFs."""
    StfFile.objects.filter(pk__in=stf_ids, buffer=BufferState.RELEASED, withdrawn_at__isnull=True).update(
        withdrawn_at=timezone.now()
    )
