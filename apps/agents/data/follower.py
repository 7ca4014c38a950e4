"""The follower: asks Rucio what became of the copies, lets it try failed ones again, and withdraws what was released."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from apps.runs.errors import RetryableError
from apps.stf import selectors, services
from apps.stf.choices import ReplicaState
from apps.stf.container.checksum import adler32_file
from apps.stf.models import Replica, StfFile
from apps.stf.services import ReplicaChange

from .batches import by_run
from .rucio import CopyState, RefusedByRucio, Rucio

# The oldest are asked for first; asking for many more than can finish meanwhile only costs Rucio time.
MOST_REPLICAS = 200
# Beside them, a window that moves on through the younger ones: old copies that are stuck must not hide these for ever.
WINDOW = 50

_STATES: dict[CopyState, ReplicaState] = {
    "available": ReplicaState.VERIFIED,
    "copying": ReplicaState.TRANSFERRING,
    "failed": ReplicaState.FAILED,
    "absent": ReplicaState.REQUESTED,
}


class Follower:
    """Its steps are the loops `follower` and `withdrawals` of the data agent."""

    def __init__(self, rucio: Rucio) -> None:
        self._rucio = rucio
        self._window_after = 0

    def follow(self) -> bool:
        """Look after the oldest unverified copies. Never asks for more at once: Rucio sets the pace.

        Raises:
            RetryableError: Rucio is away, or refuses what is asked of some runs. The others are looked after.
        """
        refusals = []
        replicas = self._to_follow()
        for of_run in by_run(replicas, lambda replica: replica.stf.run_id):
            try:
                self._let_retry([replica for replica in of_run if replica.state == ReplicaState.FAILED])
                self._follow_run([replica for replica in of_run if replica.state != ReplicaState.FAILED])
            except RefusedByRucio as refusal:
                refusals.append(f"run {of_run[0].stf.run.run_number}: Rucio refuses: {refusal}")
        if refusals:
            raise RetryableError("; ".join(refusals))
        return False

    def withdraw(self) -> bool:
        """Tell Rucio which files have left the exit buffer; True when there may be more."""
        stfs = selectors.to_withdraw(limit=MOST_REPLICAS)
        for of_run in by_run(stfs, lambda stf: stf.run_id):
            scope = of_run[0].run.dataset.scope
            self._rucio.withdraw(scope, [stf.stf_filename for stf in of_run], rse=settings.SWF_E0_RSE)
            services.mark_withdrawn([stf.pk for stf in of_run])
        return len(stfs) == MOST_REPLICAS

    def _to_follow(self) -> list[Replica]:
        now = timezone.now()
        oldest = selectors.unverified_replicas(now=now, limit=MOST_REPLICAS)
        if len(oldest) < MOST_REPLICAS:
            return oldest
        after = max(self._window_after, oldest[-1].pk)
        window = selectors.unverified_replicas(now=now, limit=WINDOW, after=after)
        self._window_after = window[-1].pk if len(window) == WINDOW else 0
        return oldest + window

    def _follow_run(self, replicas: Sequence[Replica]) -> None:
        if not replicas:
            return
        dataset = replicas[0].stf.run.dataset
        states = self._rucio.copy_states(dataset.scope, {replica.stf.stf_filename for replica in replicas})
        now = {
            replica.pk: _STATES[states.get((replica.stf.stf_filename, replica.rse), "absent")]
            for replica in replicas
        }
        changes = []
        for replica in replicas:
            state = now[replica.pk]
            if state == ReplicaState.FAILED:
                reason = what_is_wrong_at_e0(replica.stf) or self._rucio.failure(
                    dataset.scope, replica.stf.stf_filename, rse=replica.rse
                )
                changes.append(ReplicaChange(replica.pk, state, reason))
            elif state != replica.state:
                changes.append(ReplicaChange(replica.pk, state))
        if changes:
            services.apply_replica_changes(dataset.run, changes)

    def _let_retry(self, failed: Sequence[Replica]) -> None:
        """Copies of a run whose pause is over: their rule is asked to try again, and they are followed anew."""
        if not failed:
            return
        run = failed[0].stf.run
        for rse in sorted({replica.rse for replica in failed}):
            self._rucio.retry(run.dataset.rules[rse])
        services.apply_replica_changes(
            run, [ReplicaChange(replica.pk, ReplicaState.REQUESTED, replica.reason) for replica in failed]
        )


def what_is_wrong_at_e0(stf: StfFile) -> str:
    """What has become of the file in the exit buffer since its checksum was taken; empty when it is as it was.

    Asked only after a copy failed: so the reason says whether the source is to blame.
    """
    try:
        size = Path(stf.file_url).stat().st_size
        if size != stf.size_bytes:
            return f"{stf.file_url} has {size} bytes, stf_gen said {stf.size_bytes}"
        checksum = adler32_file(Path(stf.file_url))
    except OSError as error:
        return f"{stf.file_url} cannot be read: {error.strerror}"
    if checksum != stf.checksum:
        return f"{stf.file_url} was altered: its adler32 is {checksum}, stf_gen said {stf.checksum}"
    return ""
