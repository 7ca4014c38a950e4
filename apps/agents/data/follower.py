"""The follower: asks Rucio what became of the copies, lets it try failed ones again, and withdraws what was released."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby

from django.conf import settings
from django.utils import timezone

from apps.stf import selectors, services
from apps.stf.choices import ReplicaState
from apps.stf.models import Replica
from apps.stf.services import ReplicaChange

from .rucio import CopyState, Rucio

# The oldest are asked for first; asking for many more than can finish meanwhile only costs Rucio time.
MOST_REPLICAS = 200

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

    def follow(self) -> bool:
        """Look after the oldest unverified copies. Never asks for more at once: Rucio sets the pace."""
        replicas = selectors.unverified_replicas(now=timezone.now(), limit=MOST_REPLICAS)
        self._let_retry([replica for replica in replicas if replica.state == ReplicaState.FAILED])
        for _, group in groupby(
            sorted(replicas, key=lambda replica: replica.stf.run_id), key=lambda replica: replica.stf.run_id
        ):
            self._follow_run(list(group))
        return False

    def withdraw(self) -> bool:
        """Tell Rucio which files have left the exit buffer; True when there may be more."""
        stfs = selectors.to_withdraw(limit=MOST_REPLICAS)
        for _, group in groupby(sorted(stfs, key=lambda stf: stf.run_id), key=lambda stf: stf.run_id):
            of_run = list(group)
            scope = of_run[0].run.dataset.scope
            self._rucio.withdraw(scope, [stf.stf_filename for stf in of_run], rse=settings.SWF_E0_RSE)
            services.mark_withdrawn([stf.pk for stf in of_run])
        return len(stfs) == MOST_REPLICAS

    def _follow_run(self, replicas: Sequence[Replica]) -> None:
        dataset = replicas[0].stf.run.dataset
        states = self._rucio.copy_states(dataset.scope, {replica.stf.stf_filename for replica in replicas})
        now = {
            replica.pk: _STATES[states.get((replica.stf.stf_filename, replica.rse), "absent")]
            for replica in replicas
        }
        reasons = self._reasons(dataset.rules, {r.rse for r in replicas if now[r.pk] == ReplicaState.FAILED})
        changes = []
        for replica in replicas:
            state = now[replica.pk]
            if state == ReplicaState.FAILED:
                reason = reasons[replica.rse].get(replica.stf.stf_filename, "Rucio gives no reason")
                changes.append(ReplicaChange(replica.pk, state, reason))
            elif state != replica.state:
                changes.append(ReplicaChange(replica.pk, state))
        if changes:
            services.apply_replica_changes(dataset.run, changes)

    def _reasons(self, rules: dict[str, str], rses: set[str]) -> dict[str, dict[str, str]]:
        return {rse: self._rucio.failures(rules[rse]) for rse in rses}

    def _let_retry(self, failed: Sequence[Replica]) -> None:
        """Copies whose pause is over: their rule is asked to try again, and they are followed anew."""
        by_rule = defaultdict(list)
        for replica in failed:
            by_rule[replica.stf.run.dataset.rules[replica.rse]].append(replica)
        for rule_id, replicas in by_rule.items():
            self._rucio.retry(rule_id)
            services.apply_replica_changes(
                replicas[0].stf.run, [ReplicaChange(r.pk, ReplicaState.REQUESTED) for r in replicas]
            )
