"""Workers as their heartbeats describe them. The slice that a heartbeat names stays its worker's; those of a lost worker
return."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.runs import journal
from apps.runs.inserting import insert_if_new, update_all

from ..choices import SliceState, WorkerStatus
from ..models import TFSlice, Worker
from ..selectors.workers import silent_workers
from .slice_counts import Counts, counts_of
from .slices import lease_end, return_slices


@dataclass(frozen=True)
class Beat:
    """What a worker says of itself; `req_id` and `attempt` name the slice in hand, `reason` why it has ended."""

    worker_id: str
    status: WorkerStatus
    location: str = ""
    pid: int | None = None
    panda_id: int | None = None
    req_id: UUID | None = None
    attempt: int | None = None
    slices_completed: int = 0
    slices_failed: int = 0
    started_at: datetime | None = None
    reason: str = ""


@transaction.atomic
def record_heartbeats(beats: Sequence[Beat]) -> None:
    """Workers are there: write down how they are, and renew the leases of what they have in hand.

    A worker that has ended stays so, whatever arrives late. One that was lost and is heard of again is back.
    """
    slices = _renew(beats)
    fresh = [_first_seen(beat) for beat in beats]
    known = Worker.objects.filter(worker_id__in={beat.worker_id for beat in beats})
    workers = {worker.worker_id: worker for worker in known.select_for_update().order_by("worker_id")}
    changes = [change for change in fresh if change]
    for beat in beats:
        worker = workers[beat.worker_id]
        if worker.status != WorkerStatus.ENDED:
            changes += _describe(worker, beat, slices)
    for worker in workers.values():
        worker.save()
    journal.record_many(changes)


def mark_lost() -> list[str]:
    """Workers that have fallen silent are lost, and what they had in hand is tried again, at once.

    Returns:
        Their ids.
    """
    candidates = list(silent_workers().values_list("worker_id", flat=True))
    if not candidates:
        return []
    theirs = Q(status=SliceState.CLAIMED, assigned_worker__in=candidates)
    with transaction.atomic():
        counts = counts_of(TFSlice.objects.filter(theirs).values_list("run_id", flat=True))
        silent = silent_workers().filter(worker_id__in=candidates)
        lost = list(silent.select_for_update().order_by("worker_id"))
        changes = [_lose(counts, worker) for worker in lost]
        counts.settle()
        journal.record_many(changes)
    return [worker.worker_id for worker in lost]


def _first_seen(beat: Beat) -> journal.Change | None:
    """The entry of a worker that nobody knew."""
    worker = Worker(
        worker_id=beat.worker_id, location=beat.location, started_at=beat.started_at or timezone.now()
    )
    return _change("worker_started", beat, {"pid": beat.pid}) if insert_if_new(worker) else None


def _renew(beats: Iterable[Beat]) -> Mapping[UUID, TFSlice]:
    """The slices in the workers' hands, claimed for longer."""
    named = {beat.req_id: beat for beat in beats if beat.req_id}
    if not named:
        return {}
    in_hand = TFSlice.objects.filter(req_id__in=named)
    counts = counts_of(in_hand.values_list("run_id", flat=True))
    slices = {one.req_id: one for one in in_hand.all()}
    renewed = []
    for req_id, one in slices.items():
        beat = named[req_id]
        if one.status == SliceState.CLAIMED and beat.attempt in (None, one.retries + 1):
            one.assigned_worker = beat.worker_id
            one.lease_until = lease_end(counts.runs[one.run_id])
            renewed.append(one)
    update_all(renewed, ["assigned_worker", "lease_until"])
    return slices


def _describe(worker: Worker, beat: Beat, slices: Mapping[UUID, TFSlice]) -> list[journal.Change]:
    """Give the row what the worker says; the entries that follow from it."""
    was_lost = worker.status == WorkerStatus.LOST
    worker.status = beat.status
    worker.location, worker.pid, worker.panda_id = beat.location, beat.pid, beat.panda_id
    worker.started_at = beat.started_at or worker.started_at
    worker.slices_completed, worker.slices_failed = beat.slices_completed, beat.slices_failed
    worker.current_slice = slices.get(beat.req_id) if beat.req_id else None
    worker.last_heartbeat = timezone.now()
    worker.ended_at, worker.end_reason = None, ""
    changes = [_change("worker_returned", beat, {})] if was_lost else []
    if beat.status == WorkerStatus.ENDED:
        worker.ended_at, worker.end_reason = timezone.now(), beat.reason
        worker.current_slice = None
        changes.append(
            _change("worker_ended", beat, {"reason": beat.reason, "completed": beat.slices_completed})
        )
    return changes


def _lose(counts: Counts, worker: Worker) -> journal.Change:
    silent_for = (timezone.now() - worker.last_heartbeat).total_seconds()
    reason = f"not heard of for {silent_for:.0f} s"
    returned = return_slices(
        counts,
        Q(assigned_worker=worker.worker_id, run__in=counts.runs),
        reason=f"worker {worker.worker_id} was lost: {reason}",
    )
    worker.status, worker.ended_at, worker.end_reason = WorkerStatus.LOST, timezone.now(), reason
    worker.current_slice = None
    worker.save()
    return journal.Change(
        "worker_lost", subject=worker.worker_id, payload={"reason": reason, "slices_returned": returned}
    )


def _change(kind: str, beat: Beat, payload: dict[str, object]) -> journal.Change:
    return journal.Change(kind, subject=beat.worker_id, payload={"host": beat.location, **payload})
