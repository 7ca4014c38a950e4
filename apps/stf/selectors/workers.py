"""Which workers there are, and which of them are heard of."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from ..choices import WorkerStatus
from ..models import Worker

# A worker of ours says each second that it lives.
SILENT_AFTER = timedelta(seconds=5)
# Those of the existing system say so every 30 s, and do not say their process.
FOREIGN_SILENT_AFTER = timedelta(seconds=90)


def _silent() -> Q:
    now = timezone.now()
    return Q(pid__isnull=False, last_heartbeat__lt=now - SILENT_AFTER) | Q(
        pid__isnull=True, last_heartbeat__lt=now - FOREIGN_SILENT_AFTER
    )


def workers_up() -> QuerySet[Worker]:
    """The workers that take slices: heard of, and not about to leave."""
    ready = Worker.objects.filter(status__in=[WorkerStatus.READY, WorkerStatus.BUSY], ended_at__isnull=True)
    return ready.exclude(_silent())


def silent_workers() -> QuerySet[Worker]:
    """The workers that should be there but have not been heard of for too long."""
    return Worker.objects.filter(_silent(), ended_at__isnull=True)
