"""What became of the copies at the Echelon 1 sites, and with them of the right to delete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from apps.runs import journal
from apps.runs.models import Run

from ..choices import BufferState, ReplicaState
from ..messages import stf_fields
from ..models import Replica, StfFile

RETRY_FIRST = timedelta(seconds=10)
RETRY_MOST = timedelta(minutes=10)
# Rucio needs a moment to take up a copy that it was asked to try again; until then it still calls it failed.
TAKE_UP = timedelta(seconds=5)


@dataclass(frozen=True)
class ReplicaChange:
    """What Rucio says of one copy: its new state, and the reason when it failed."""

    replica_id: int
    state: ReplicaState
    reason: str = ""


@transaction.atomic
def apply_replica_changes(run: Run, changes: Sequence[ReplicaChange]) -> None:
    """Apply what changed; a verified copy never changes again.

    An STF whose copies are all verified becomes releasable in the same transaction: from then on, and not before, the
    DAQ may delete it.
    """
    wanted = {change.replica_id: change for change in changes}
    # The STFs are locked with their copies: of two writers that verify a copy each, the second must see both.
    replicas = list(
        Replica.objects.select_for_update(of=("self", "stf"))
        .select_related("stf")
        .filter(pk__in=wanted)
        .exclude(state=ReplicaState.VERIFIED)
        .order_by("pk")
    )
    now = timezone.now()
    entries = []
    for replica in replicas:
        entry = _apply(replica, wanted[replica.pk], now)
        if entry:
            entries.append(
                journal.Change(entry, run=run, subject=replica.stf.stf_filename, payload=_fields(replica))
            )
    verified = [replica for replica in replicas if replica.state == ReplicaState.VERIFIED]
    Replica.objects.filter(pk__in=[replica.pk for replica in verified]).update(
        state=ReplicaState.VERIFIED, verified_at=now, reason="", retry_at=None
    )
    others = [replica for replica in replicas if replica.state != ReplicaState.VERIFIED]
    Replica.objects.bulk_update(others, ["state", "reason", "attempts", "retry_at"])
    entries += [
        journal.Change("stf_releasable", run=run, subject=stf.stf_filename, payload=stf_fields(stf))
        for stf in _release_the_safe({replica.stf_id for replica in verified}, now)
    ]
    journal.record_many(entries)


def _apply(replica: Replica, change: ReplicaChange, now: datetime) -> str | None:
    """Set the replica's fields; the kind of the journal entry it is worth, if any."""
    replica.state = change.state
    if change.state == ReplicaState.VERIFIED:
        replica.verified_at, replica.reason, replica.retry_at = now, "", None
        return "stf_replicated"
    if change.state == ReplicaState.FAILED:
        # A copy that fails for the same reason again, after a retry, is no news: it would fill the journal.
        news = replica.reason != change.reason
        replica.reason = change.reason
        replica.attempts += 1
        replica.retry_at = now + min(RETRY_MOST, RETRY_FIRST * 2 ** min(replica.attempts - 1, 10))
        return "stf_replica_failed" if news else None
    if change.state == ReplicaState.REQUESTED:
        replica.retry_at = now + TAKE_UP
    return None


def _fields(replica: Replica) -> dict[str, object]:
    fields = stf_fields(replica.stf) | {"rse": replica.rse}
    return fields | {"reason": replica.reason} if replica.state == ReplicaState.FAILED else fields


def _release_the_safe(stf_ids: set[int], now: datetime) -> list[StfFile]:
    """Mark those that are verified at every site; needs the replicas' changes to be in the database."""
    safe = list(
        StfFile.objects.select_for_update()
        .filter(pk__in=stf_ids, buffer=BufferState.HELD)
        .exclude(replicas__in=Replica.objects.exclude(state=ReplicaState.VERIFIED))
        .order_by("sequence")
    )
    StfFile.objects.filter(pk__in=[stf.pk for stf in safe]).update(
        buffer=BufferState.RELEASABLE, releasable_at=now
    )
    return safe
