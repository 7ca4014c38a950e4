"""Workers as their heartbeats describe them. The slice that a heartbeat names stays its worker's; those of a lost worker
return.

A worker belongs to a namespace. Those of this testbed's own serve all runs, others those of their namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.runs import journal
from apps.runs.errors import FieldRefused
from apps.runs.inserting import insert_if_new, update_all
from apps.runs.models import Namespace
from apps.runs.services import ensure_namespace

from ..choices import SliceState, WorkerStatus
from ..models import TFSlice, Worker
from ..selectors.workers import silent_workers
from .slice_counts import Counts, counts_of
from .slices import lease_end, return_slices


@dataclass(frozen=True)
class Beat:
    """What a worker says of itself; `req_id` and `attempt` name the slice in hand, `reason` why it has ended.

    Without a `namespace` it stays where it is, and a new one is of its slice's run, else of this testbed's own. Over REST
    any agent may speak: such a worker `must_hold` the slice that it names, and stays in its namespace. On the bus it is
    believed.
    """

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
    namespace: str = ""
    must_hold: bool = False


@transaction.atomic
def record_heartbeats(beats: Sequence[Beat]) -> None:
    """Workers are there: write down how they are, and renew the leases of what they have in hand.

    A worker that has ended stays so, whatever arrives late. One that was lost and is heard of again is back.

    Raises:
        FieldRefused: a worker over REST is of another namespace than it says.
    """
    slices = _renew(beats)
    known = Worker.objects.filter(worker_id__in={beat.worker_id for beat in beats})
    seen = set(known.values_list("worker_id", flat=True))
    fresh = [_first_seen(beat, slices) for beat in beats if beat.worker_id not in seen]
    locked = known.select_for_update(of=("self",)).select_related("namespace").order_by("worker_id")
    workers = {worker.worker_id: worker for worker in locked}
    changes = [change for change in fresh if change]
    for beat in beats:
        worker = workers[beat.worker_id]
        if _moves(worker, beat) or worker.status != WorkerStatus.ENDED:
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
        locked = silent.select_for_update(of=("self",)).select_related("namespace")
        lost = list(locked.order_by("worker_id"))
        changes = [_lose(counts, worker) for worker in lost]
        counts.settle()
        journal.record_many(changes)
    return [worker.worker_id for worker in lost]


def _first_seen(beat: Beat, slices: Mapping[UUID, TFSlice]) -> journal.Change | None:
    """The entry of a worker that nobody knew."""
    worker = Worker(
        worker_id=beat.worker_id,
        namespace=_namespace_of(beat, slices),
        location=beat.location,
        started_at=beat.started_at or timezone.now(),
    )
    return _change("worker_started", beat, {"pid": beat.pid}) if insert_if_new(worker) else None


def _namespace_of(beat: Beat, slices: Mapping[UUID, TFSlice]) -> Namespace:
    """That of a worker that nobody knew."""
    in_hand = slices.get(beat.req_id) if beat.req_id else None
    if in_hand and not beat.namespace:
        return in_hand.run.namespace
    return ensure_namespace(beat.namespace or settings.SWF_NAMESPACE, owner=journal.current_cause().actor)


def _moves(worker: Worker, beat: Beat) -> bool:
    """Whether it turns out to be a worker of another namespace, under whose name somebody else had spoken over REST.

    Raises:
        FieldRefused: this is said over REST.
    """
    own = worker.namespace.name if worker.namespace else settings.SWF_NAMESPACE
    if beat.namespace in ("", own):
        return False
    if beat.must_hold:
        raise FieldRefused("namespace", f"{worker} is a worker of {own}: give another one another worker_id")
    worker.namespace = _namespace_of(beat, {})
    return True


def _renew(beats: Iterable[Beat]) -> Mapping[UUID, TFSlice]:
    """The slices that the beats name, claimed for longer if they are the workers'."""
    named = {beat.req_id: beat for beat in beats if beat.req_id}
    if not named:
        return {}
    in_hand = TFSlice.objects.filter(req_id__in=named)
    counts = counts_of(in_hand.values_list("run_id", flat=True))
    slices = {one.req_id: one for one in in_hand.select_related("run__namespace")}
    renewed = []
    for req_id, one in slices.items():
        beat = named[req_id]
        same_try = one.status == SliceState.CLAIMED and beat.attempt in (None, one.retries + 1)
        if same_try and _may_have(one, beat):
            one.assigned_worker = beat.worker_id
            one.lease_until = lease_end(counts.runs[one.run_id])
            renewed.append(one)
    update_all(renewed, ["assigned_worker", "lease_until"])
    return slices


def _may_have(one: TFSlice, beat: Beat) -> bool:
    return not beat.must_hold or one.assigned_worker == beat.worker_id


def _describe(worker: Worker, beat: Beat, slices: Mapping[UUID, TFSlice]) -> list[journal.Change]:
    """Give the row what the worker says; the entries that follow from it."""
    was_lost = worker.status == WorkerStatus.LOST
    worker.status = beat.status
    worker.location, worker.pid, worker.panda_id = beat.location, beat.pid, beat.panda_id
    worker.started_at = beat.started_at or worker.started_at
    worker.slices_completed, worker.slices_failed = beat.slices_completed, beat.slices_failed
    named = slices.get(beat.req_id) if beat.req_id else None
    worker.current_slice = named if named and _may_have(named, beat) else None
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
    theirs = Q(assigned_worker=worker.worker_id, run__in=counts.runs)
    if worker.namespace and worker.namespace.name != settings.SWF_NAMESPACE:
        theirs &= Q(run__namespace=worker.namespace)
    returned = return_slices(
        counts,
        theirs,
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
