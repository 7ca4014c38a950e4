"""The counts of slices, exact because of one rule: whoever changes slices of a run holds its `FastRun` row.

It is locked first, several in the order of their keys; then come slices and samples, then workers, then the journal. So
two writers never wait for each other, and whoever ends the last slice of a sample sees that it is the last.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from uuid import UUID

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from apps.runs import journal

from ..choices import OPEN_SLICE, SliceState
from ..models import FastMonFile, FastRun, TFSlice

# A slice is tried so often, then it has failed.
MOST_TRIES = 3

_COUNTED = ("slices_created", *(f"slices_{state}" for state in SliceState.values))
_SAVED = (*_COUNTED, "processing_seconds", "dispatching_since", "drained_at")


class Counts:
    """The locked fast runs of the transaction in progress. Changes of slices are told to it; `settle` writes the counts.

    Slices must be read after it is made: what was read before may have changed.
    """

    def __init__(self, fast_runs: QuerySet[FastRun]) -> None:
        locked = fast_runs.select_for_update(of=("self",)).select_related("run__execution", "run__namespace")
        self.runs: dict[int, FastRun] = {fast.run_id: fast for fast in locked.order_by("pk")}
        self._before = {run_id: _figures(fast) for run_id, fast in self.runs.items()}
        self._files: set[int] = set()
        self._changes: list[journal.Change] = []

    def created(self, run_id: int, count: int) -> None:
        """So many slices are new, and queued."""
        fast = self.runs[run_id]
        fast.slices_created += count
        fast.slices_queued += count

    def move(self, one: TFSlice, after: SliceState, *, reason: str = "") -> None:
        """Give a slice its next state, with the times that belong to it, and count it there. The caller saves the slice."""
        fast = self.runs[one.run_id]
        for state, change in ((one.status, -1), (after, 1)):
            name = f"slices_{state}"
            setattr(fast, name, getattr(fast, name) + change)
        one.status, one.lease_until = after, None
        one.reason = reason or one.reason
        if after not in OPEN_SLICE:
            one.completed_at = timezone.now()
            self._files.add(one.fastmon_file_id)

    def try_again(self, one: TFSlice, reason: str) -> None:
        """A try has come to nothing: the slice is queued again, or after the last try it has failed."""
        one.retries += 1
        if one.retries < MOST_TRIES:
            self.move(one, SliceState.QUEUED, reason=reason)
            return
        self.move(one, SliceState.FAILED, reason=reason)
        self.say(
            one.run_id,
            "slice_failed",
            {"req_id": str(one.req_id), "slice_id": one.slice_id, "retries": one.retries, "reason": reason},
            subject=str(one.fastmon_file),
        )

    def say(self, run_id: int, kind: str, payload: dict[str, object], *, subject: str = "") -> None:
        """Have a journal entry written when all is settled."""
        self._changes.append(
            journal.Change(kind, run=self.runs[run_id].run, subject=subject, payload=payload)
        )

    def settle(self) -> None:
        """Write the counts and the journal; a sample whose slices have all ended is said to be processed."""
        for run_id, fast in self.runs.items():
            if _figures(fast) != self._before[run_id]:
                fast.save(update_fields=_SAVED)
        self._say_processed()
        journal.record_many(self._changes)

    def _say_processed(self) -> None:
        if not self._files:
            return
        touched = FastMonFile.objects.filter(pk__in=self._files).values("sample")
        ended = (
            TFSlice.objects.filter(fastmon_file__sample__in=touched)
            .values("run_id", "fastmon_file__sample__sequence", "fastmon_file__sample__stf__stf_filename")
            .annotate(
                open=Count("pk", filter=Q(status__in=OPEN_SLICE)),
                done=Count("pk", filter=Q(status=SliceState.DONE)),
                failed=Count("pk", filter=Q(status=SliceState.FAILED)),
                skipped=Count("pk", filter=Q(status=SliceState.SKIPPED)),
            )
            .filter(open=0)
            .order_by("run_id", "fastmon_file__sample__sequence")
        )
        for row in ended:
            outcome = {name: row[name] for name in ("done", "failed", "skipped")}
            self.say(
                row["run_id"],
                "sample_processed",
                {"sequence": row["fastmon_file__sample__sequence"], **outcome},
                subject=row["fastmon_file__sample__stf__stf_filename"],
            )


def counts_of(run_ids: Iterable[int]) -> Counts:
    """Those of these runs."""
    return Counts(FastRun.objects.filter(run__in=set(run_ids)))


def lock_runs_of(req_ids: Collection[UUID]) -> None:
    """Begin a transaction that will change slices of several runs, one run after the other, in the order of everybody."""
    counts_of(TFSlice.objects.filter(req_id__in=req_ids).values_list("run_id", flat=True))


def _figures(fast: FastRun) -> list[object]:
    return [getattr(fast, name) for name in _SAVED]
