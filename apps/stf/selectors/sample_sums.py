"""What the samples of a run add up to, kept in memory: asked again, only those that were decided since are read.

A sample that is decided stays as it is, and those of a run become visible in the order of their keys, since whoever
announces them holds the run's `FastRun` row. So all before the oldest that waits are counted for good.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.db.models import Count

from apps.runs.models import Run

from ..choices import SampleState
from ..models import FastMonSample

# So many runs are kept in a process.
MOST_RUNS = 32
LAST_REASONS = 5
_LOST = (SampleState.SKIPPED, SampleState.FAILED)


@dataclass(frozen=True)
class LastReason:
    """Why a sample was skipped or failed, and when that was decided."""

    sequence: int
    state: SampleState
    reason: str
    decided_at: datetime


@dataclass(frozen=True)
class SampleSums:
    """Sums over samples. `bytes_of_stfs` are those of the STFs that were sampled; `last_reasons` begins with the newest.

    `upto` is the key of the last sample in them, 0 where there is none.
    """

    by_state: Counter[str] = field(default_factory=Counter)
    tfs: int = 0
    hits: int = 0
    files: int = 0
    corrupt_tfs: int = 0
    bytes_read: int = 0
    bytes_of_stfs: int = 0
    requests: int = 0
    last_reasons: tuple[LastReason, ...] = ()
    upto: int = 0


_kept: OrderedDict[int, SampleSums] = OrderedDict()
_lock = threading.Lock()


def sample_sums(run: Run) -> SampleSums:
    """The sums over all samples of a run, those that wait included; one query."""
    with _lock:
        kept = _kept.pop(run.pk, SampleSums())
        rows = _rows(run, kept.upto)
        if kept.upto and not (rows and rows[0].pk == kept.upto):
            # Another database stands where the one was that it was counted in.
            kept, rows = SampleSums(), _rows(run, 0)
        fresh = [row for row in rows if row.pk > kept.upto]
        settled = next((nth for nth, row in enumerate(fresh) if row.state == SampleState.WAITING), len(fresh))
        _kept[run.pk] = kept = _with(kept, fresh[:settled])
        while len(_kept) > MOST_RUNS:
            _kept.popitem(last=False)
    return _with(kept, fresh[settled:])


@dataclass(frozen=True)
class _Row:
    pk: int
    sequence: int
    state: str
    reason: str
    decided_at: datetime | None
    tf_count: int
    hits: int
    corrupt_tfs: list[int]
    bytes_read: int
    requests: int
    size_bytes: int
    files: int


def _rows(run: Run, since: int) -> list[_Row]:
    samples = FastMonSample.objects.filter(run=run, pk__gte=since).order_by("pk")
    rows = samples.annotate(file_count=Count("files")).values_list(
        "pk",
        "sequence",
        "state",
        "reason",
        "decided_at",
        "tf_count",
        "hits",
        "corrupt_tfs",
        "bytes_read",
        "requests",
        "stf__size_bytes",
        "file_count",
    )
    return [_Row(*row) for row in rows]


def _with(sums: SampleSums, rows: Sequence[_Row]) -> SampleSums:
    """The sums with these samples, which follow."""
    if not rows:
        return sums
    return replace(
        sums,
        by_state=sums.by_state + Counter(row.state for row in rows),
        tfs=sums.tfs + sum(row.tf_count for row in rows),
        hits=sums.hits + sum(row.hits for row in rows),
        files=sums.files + sum(row.files for row in rows),
        corrupt_tfs=sums.corrupt_tfs + sum(len(row.corrupt_tfs) for row in rows),
        bytes_read=sums.bytes_read + sum(row.bytes_read for row in rows),
        bytes_of_stfs=sums.bytes_of_stfs
        + sum(row.size_bytes for row in rows if row.state == SampleState.SAMPLED),
        requests=sums.requests + sum(row.requests for row in rows),
        last_reasons=(*_reasons(rows), *sums.last_reasons)[:LAST_REASONS],
        upto=rows[-1].pk,
    )


def _reasons(rows: Iterable[_Row]) -> list[LastReason]:
    """The newest first."""
    lost = [row for row in rows if row.state in _LOST][-LAST_REASONS:]
    return [
        LastReason(row.sequence, SampleState(row.state), row.reason, row.decided_at)
        for row in reversed(lost)
        if row.decided_at
    ]
