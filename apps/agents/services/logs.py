"""What programs log, as they send it over REST; and forgetting it again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from apps.runs.inserting import insert_all

from ..models import AppLog

# So many rows in one transaction: a deletion of millions must not hold its locks for minutes.
ROWS_AT_ONCE = 10_000
ERROR = 40


@transaction.atomic
def record_logs(logs: Sequence[AppLog]) -> list[AppLog]:
    """Keep unsaved records, all or none. They are no changes of state: the journal says nothing of them."""
    insert_all(logs)
    return list(logs)


def prune_logs(*, before: datetime, errors_before: datetime) -> int:
    """Delete the records that are older than `before`, those of errors when they are older than `errors_before`.

    Returns:
        How many that were.
    """
    below = AppLog.objects.filter(level__lt=ERROR, timestamp__lt=before)
    errors = AppLog.objects.filter(level__gte=ERROR, timestamp__lt=errors_before)
    deleted = 0
    for old in (below, errors):
        while count := AppLog.objects.filter(
            pk__in=old.order_by("timestamp").values("pk")[:ROWS_AT_ONCE]
        ).delete()[0]:
            deleted += count
    return deleted
