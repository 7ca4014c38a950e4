"""The fleet: how many workers each run wants, those that the agent starts itself, and their end when a run is through."""

from __future__ import annotations

import time
from collections.abc import Sequence

from apps.runs.errors import RetryableError
from apps.stf import selectors, services
from apps.stf.models import FastRun

from .children import Children
from .ramp import Load, Ramp, wanted_workers

# Longer than it takes a worker to start.
PATIENCE_SECONDS = 10.0


class Fleet:
    """Its step is the loop `fleet` of the fastproc agent."""

    def __init__(self, children: Children | None = None) -> None:
        self._children = children or Children()
        self._ramps: dict[int, Ramp] = {}
        self._waiting_since: float | None = None
        self._told: set[str] = set()

    def step(self) -> bool:
        """Settle how many workers there are to be, and see to those of this machine.

        Raises:
            RetryableError: workers do not start, or slices wait and nobody takes them.
        """
        at_work = self._without_drained(list(selectors.fast_runs_at_work()))
        self._ramps = {
            fast.pk: self._ramps.get(fast.pk) or Ramp(fast.wanted_worker_count) for fast in at_work
        }
        wanted = {"local": 0, "panda": 0, "external": 0}
        waiting = []
        for fast in at_work:
            parameters = services.fastproc_parameters(fast.run)
            backlog = selectors.backlog(fast)
            wanted[parameters.workers] += self._follow(fast, backlog)
            if backlog.waits_for:
                waiting.append(f"{backlog.queued} slices of run {fast.run} wait for {backlog.waits_for}")
        self._children.keep(wanted["local"])
        self._send_away(at_work, wanted["panda"])
        self._complain(waiting)
        return False

    def _without_drained(self, at_work: Sequence[FastRun]) -> list[FastRun]:
        """Those that go on; whoever is through is said to be, and its workers are told, if no other run needs them."""
        through = [fast for fast in at_work if selectors.is_through(fast)]
        others = [fast for fast in at_work if fast not in through]
        needed = any(selectors.has_slices(fast.run) for fast in others)
        for fast in through:
            stop = [] if needed else list(selectors.workers_up().values_list("worker_id", flat=True))
            services.mark_drained(fast.run, stop=stop)
        return others

    def _follow(self, fast: FastRun, backlog: selectors.Backlog) -> int:
        """How many workers the run is to have from now on."""
        parameters = services.fastproc_parameters(fast.run)
        load = Load(
            backlog=backlog.open,
            arrival_rate=backlog.arrival_rate,
            worker_seconds=backlog.worker_seconds,
            taking_data=selectors.has_slices(fast.run) and not selectors.has_ended(fast.run),
        )
        count = self._ramps[fast.pk].follow(
            wanted_workers(load, fast.target_worker_count),
            now=time.monotonic(),
            up_after=parameters.worker_rampup_time,
            down_after=parameters.worker_rampdown_time,
        )
        why = {
            "backlog": load.backlog,
            "arrival_rate": round(load.arrival_rate, 2),
            "worker_seconds": round(load.worker_seconds, 4),
        }
        services.set_wanted_workers(fast.run, count, why)
        return count

    def _send_away(self, at_work: Sequence[FastRun], wanted: int) -> None:
        """Tell workers of PanDA's that are too many to leave, the youngest first; PanDA itself knows only how to start."""
        ours = selectors.workers_up().filter(panda_id__isnull=False).order_by("started_at")
        too_many = [worker.worker_id for worker in ours[wanted:] if worker.worker_id not in self._told]
        if at_work and too_many:
            services.stop_workers(too_many, namespace=at_work[0].run.namespace)
            self._told |= set(too_many)

    def _complain(self, waiting: Sequence[str]) -> None:
        if self._children.trouble:
            raise RetryableError(self._children.trouble)
        if not waiting:
            self._waiting_since = None
            return
        now = time.monotonic()
        self._waiting_since = self._waiting_since or now
        if now - self._waiting_since > PATIENCE_SECONDS:
            raise RetryableError("; ".join(waiting))
