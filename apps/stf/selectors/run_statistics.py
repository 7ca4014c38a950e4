"""How fast the STFs of a run come through its stages, how long they take, what waits, and which sequences are missing.

PostgreSQL does the sums: a fixed number of statements, of which those that count look at every STF of the run once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from apps.runs.models import Run

from .sums import summing

# Latencies are those of so many STFs of a run, the latest.
LATENCY_STFS = 10_000
# Of the ranges of missing sequences so many are listed, the lowest.
MOST_RANGES = 100
LAST_MINUTE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Rate:
    """Arrivals at a stage per second; None as long as nothing has arrived, or all at one instant."""

    stfs_per_second: float | None
    bytes_per_second: float | None


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from the closed STF to its arrival at a stage, of so many of the latest STFs."""

    stfs: int
    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class StageStatistics:
    """One stage, at one RSE or site if it has any.

    `total` are the STFs that have come to it: `done`, `waiting`, `failed` and `skipped` together. `size_bytes` is that of
    the STFs that are through. Of those that wait the oldest does so for `oldest_waiting_seconds`.
    """

    stage: str
    place: str | None
    total: int
    done: int
    waiting: int
    failed: int
    skipped: int
    size_bytes: int
    oldest_waiting_seconds: float | None
    whole_run: Rate
    last_minute: Rate
    latency: Latency | None


@dataclass(frozen=True, slots=True)
class SequenceRange:
    """Sequences, both ends included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class SequenceGaps:
    """Sequences that should be there and are not: how many in all, and their ranges, the lowest first."""

    missing: int
    ranges: list[SequenceRange]


@dataclass(frozen=True, slots=True)
class RunStatistics:
    """The figures of a run as of `at`."""

    run: Run
    at: datetime
    stages: list[StageStatistics]
    gaps: SequenceGaps


def run_statistics(run: Run) -> RunStatistics:
    """The figures of a run, in a fixed number of queries."""
    now = timezone.now()
    with summing() as cursor:
        named: dict[str, Any] = {"run": run.pk, "minute": now - LAST_MINUTE, "latest": LATENCY_STFS}
        cursor.execute(_COUNTS, named)
        counts = [_Counts(*row) for row in cursor.fetchall()]
        cursor.execute(_LATENCIES, named)
        latencies = {(stage, place): Latency(*figures) for stage, place, *figures in cursor.fetchall()}
        gaps = _gaps(cursor, run, made=counts[0].done, highest=counts[0].highest or 0)
    begun = min((when for when in (run.start_time, *(row.first for row in counts)) if when), default=now)
    stages = [_statistics(row, now, begun, latencies.get((row.stage, row.place))) for row in counts]
    return RunStatistics(run, now, stages, gaps)


@dataclass(frozen=True, slots=True)
class _Counts:
    """A row of `_COUNTS`."""

    stage: str
    place: str | None
    done: int
    waiting: int
    failed: int
    skipped: int
    size_bytes: int | None
    highest: int | None
    first: datetime | None
    last: datetime | None
    oldest: datetime | None
    late: int
    late_bytes: int | None


_COUNTS = """
WITH stf AS (
  SELECT count(*) AS made, max(sequence) AS highest, sum(size_bytes) AS made_bytes,
         min(generated_at) AS first_made, max(generated_at) AS last_made,
         count(*) FILTER (WHERE generated_at > %(minute)s) AS late_made,
         sum(size_bytes) FILTER (WHERE generated_at > %(minute)s) AS late_made_bytes,
         count(*) FILTER (WHERE registration = 'registered') AS done,
         count(*) FILTER (WHERE registration = 'generated') AS waiting,
         count(*) FILTER (WHERE registration = 'failed') AS failed,
         sum(size_bytes) FILTER (WHERE registration = 'registered') AS done_bytes,
         max(registered_at) AS last_done,
         min(generated_at) FILTER (WHERE registration = 'generated') AS oldest,
         count(*) FILTER (WHERE registered_at > %(minute)s) AS late,
         sum(size_bytes) FILTER (WHERE registered_at > %(minute)s) AS late_bytes
  FROM stf_stffile WHERE run_id = %(run)s
), copies AS (
  SELECT rse, count(verified_at) AS done,
         count(*) FILTER (WHERE state IN ('requested', 'transferring')) AS waiting,
         count(*) FILTER (WHERE state = 'failed') AS failed,
         sum(size_bytes) FILTER (WHERE state = 'verified') AS done_bytes, max(verified_at) AS last_done,
         min(requested_at) FILTER (WHERE state IN ('requested', 'transferring')) AS oldest,
         count(*) FILTER (WHERE verified_at > %(minute)s) AS late,
         sum(size_bytes) FILTER (WHERE verified_at > %(minute)s) AS late_bytes
  FROM stf_replica AS copy JOIN stf_stffile AS stf ON stf.id = copy.stf_id
  WHERE run_id = %(run)s GROUP BY rse
), places AS (
  SELECT site, count(done_at) AS done,
         count(*) FILTER (WHERE state NOT IN ('done', 'failed')) AS waiting,
         count(*) FILTER (WHERE state = 'failed') AS failed,
         sum(size_bytes) FILTER (WHERE state = 'done') AS done_bytes, max(done_at) AS last_done,
         min(registered_at) FILTER (WHERE state NOT IN ('done', 'failed')) AS oldest,
         count(*) FILTER (WHERE done_at > %(minute)s) AS late,
         sum(size_bytes) FILTER (WHERE done_at > %(minute)s) AS late_bytes
  FROM stf_stfprocessing AS place JOIN stf_stffile AS stf ON stf.id = place.stf_id
  WHERE place.run_id = %(run)s GROUP BY site
), samples AS (
  SELECT count(*) AS all_of_them, count(*) FILTER (WHERE state = 'sampled') AS done,
         count(*) FILTER (WHERE state = 'waiting') AS waiting,
         count(*) FILTER (WHERE state = 'failed') AS failed,
         count(*) FILTER (WHERE state = 'skipped') AS skipped,
         sum(size_bytes) FILTER (WHERE state = 'sampled') AS done_bytes,
         max(decided_at) FILTER (WHERE state = 'sampled') AS last_done,
         min(announced_at) FILTER (WHERE state = 'waiting') AS oldest,
         count(*) FILTER (WHERE state = 'sampled' AND decided_at > %(minute)s) AS late,
         sum(size_bytes) FILTER (WHERE state = 'sampled' AND decided_at > %(minute)s) AS late_bytes
  FROM stf_fastmonsample AS sample JOIN stf_stffile AS stf ON stf.id = sample.stf_id
  WHERE sample.run_id = %(run)s
)
SELECT 'generated', NULL, made, 0, 0, 0, made_bytes, highest, first_made, last_made, NULL, late_made, late_made_bytes
FROM stf
UNION ALL
SELECT 'registered', NULL, done, waiting, failed, 0, done_bytes, NULL, NULL, last_done, oldest, late, late_bytes FROM stf
UNION ALL (
SELECT 'verified', rse, done, waiting, failed, 0, done_bytes, NULL, NULL, last_done, oldest, late, late_bytes
FROM copies ORDER BY rse)
UNION ALL (
SELECT 'processed', site, done, waiting, failed, 0, done_bytes, NULL, NULL, last_done, oldest, late, late_bytes
FROM places ORDER BY site)
UNION ALL
SELECT 'sampled', NULL, done, waiting, failed, skipped, done_bytes, NULL, NULL, last_done, oldest, late, late_bytes
FROM samples WHERE all_of_them > 0
"""

# OFFSET 0 has PostgreSQL look the rows of the latest STFs up, rather than read those of all.
_LATENCIES = """
WITH latest AS MATERIALIZED (
  SELECT id, generated_at, registered_at FROM stf_stffile
  WHERE run_id = %(run)s ORDER BY sequence DESC LIMIT %(latest)s
), arrivals AS (
  SELECT 'registered' AS stage, NULL AS place, registered_at - generated_at AS took FROM latest
  UNION ALL
  SELECT 'verified', rse, verified_at - generated_at
  FROM latest, LATERAL (SELECT rse, verified_at FROM stf_replica WHERE stf_id = latest.id OFFSET 0) AS copy
  UNION ALL
  SELECT 'processed', site, done_at - generated_at
  FROM latest, LATERAL (SELECT site, done_at FROM stf_stfprocessing WHERE stf_id = latest.id OFFSET 0) AS place
  UNION ALL
  SELECT 'sampled', NULL, decided_at - generated_at
  FROM latest, LATERAL (
    SELECT decided_at FROM stf_fastmonsample WHERE stf_id = latest.id AND state = 'sampled' OFFSET 0
  ) AS sample
), seconds AS (
  SELECT stage, place, extract(epoch FROM took)::float8 AS took FROM arrivals WHERE took IS NOT NULL
), figures AS (
  SELECT stage, place, count(*) AS stfs, max(took) AS slowest,
         percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY took) AS percentiles
  FROM seconds GROUP BY stage, place
)
SELECT stage, place, stfs, percentiles[1], percentiles[2], percentiles[3], slowest FROM figures
"""

# What is missing before, between and, once the run has said how many there are, after those that are known.
_GAPS = """
SELECT before + 1, sequence - 1 FROM (
  SELECT sequence, lag(sequence, 1, 0) OVER (ORDER BY sequence) AS before FROM (
    SELECT sequence FROM stf_stffile WHERE run_id = %(run)s AND sequence <= %(last)s
    UNION ALL SELECT %(last)s::int + 1
  ) AS known
) AS steps WHERE sequence > before + 1 ORDER BY 1 LIMIT %(limit)s
"""


def _statistics(row: _Counts, now: datetime, begun: datetime, latency: Latency | None) -> StageStatistics:
    took = (row.last - begun).total_seconds() if row.last else 0.0
    return StageStatistics(
        stage=row.stage,
        place=row.place,
        total=row.done + row.waiting + row.failed + row.skipped,
        done=row.done,
        waiting=row.waiting,
        failed=row.failed,
        skipped=row.skipped,
        size_bytes=int(row.size_bytes or 0),
        oldest_waiting_seconds=(now - row.oldest).total_seconds() if row.oldest else None,
        whole_run=_rate(row.done, row.size_bytes, took),
        last_minute=_rate(row.late, row.late_bytes, LAST_MINUTE.total_seconds()),
        latency=latency,
    )


def _rate(stfs: int, size_bytes: int | None, seconds: float) -> Rate:
    if seconds <= 0:
        return Rate(None, None)
    return Rate(stfs / seconds, float(size_bytes or 0) / seconds)


def _gaps(cursor: Any, run: Run, *, made: int, highest: int) -> SequenceGaps:
    last = highest if run.expected_stf_count is None else run.expected_stf_count
    # Beyond what the run has said there are few, if any.
    known = made - (run.stf_files.filter(sequence__gt=last).count() if highest > last else 0)
    if known == last:
        return SequenceGaps(0, [])
    cursor.execute(_GAPS, {"run": run.pk, "last": last, "limit": MOST_RANGES})
    return SequenceGaps(last - known, [SequenceRange(*row) for row in cursor.fetchall()])
