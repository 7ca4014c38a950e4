"""What Rucio says of the files that jobs have made. Registered means: seen there, the same as PanDA said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db import transaction
from django.utils import timezone

from apps.runs import journal
from apps.runs.models import Run

from ..models import ProcessingOutput


@transaction.atomic
def mark_outputs(run: Run, *, registered: Sequence[int], missing: Mapping[int, str]) -> None:
    """Outputs (by id) of a run that Rucio holds as PanDA said, and those that it does not, each with its reason.

    A reason is journalled once; the output is looked for again.
    """
    held = list(_unregistered(registered))
    ProcessingOutput.objects.filter(pk__in=[output.pk for output in held]).update(
        registered_at=timezone.now(), reason=""
    )
    changes = [_change("output_registered", run, output) for output in held]
    for output in _unregistered(list(missing)):
        if output.reason != missing[output.pk]:
            output.reason = missing[output.pk]
            output.save(update_fields=["reason"])
            changes.append(_change("output_missing", run, output, reason=output.reason))
    journal.record_many(changes)


def _unregistered(ids: Sequence[int]) -> list[ProcessingOutput]:
    rows = ProcessingOutput.objects.select_for_update().filter(pk__in=ids, registered_at__isnull=True)
    return list(rows.order_by("pk"))


def _change(kind: str, run: Run, output: ProcessingOutput, **fields: object) -> journal.Change:
    return journal.Change(kind, run=run, subject=str(output), payload={"rse": output.rse, **fields})
