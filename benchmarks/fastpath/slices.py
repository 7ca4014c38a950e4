"""Slices under fire: many samples, four workers, one of which is killed again and again."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass

from benchmarks.fastpath.testbed import POLL_SECONDS, Testbed, outcome

SEED = 20261126
WORKERS = 4
KILL_SECONDS = 10.0
SLICES_PER_STF = 15
PROGRAM = "fastproc"

_COUNTS = """
SELECT count(*), count(*) FILTER (WHERE status = 'done'), count(*) FILTER (WHERE status IN ('failed', 'skipped')),
    coalesce(sum(retries), 0)
FROM stf_tfslice AS slice JOIN runs_run ON runs_run.id = slice.run_id WHERE run_number = %s
"""
# Slices come in batches: their number over the time from the first to the last, s.
_SPANS = """
SELECT extract(epoch FROM max(created_at) - min(created_at))::float8,
    extract(epoch FROM max(completed_at) - min(completed_at))::float8
FROM stf_tfslice AS slice JOIN runs_run ON runs_run.id = slice.run_id WHERE run_number = %s
"""
_COUNTERS = """
SELECT slices_created, slices_done, slices_queued + slices_claimed FROM stf_fastrun AS fast
JOIN runs_run ON runs_run.id = fast.run_id WHERE run_number = %s
"""
# What workers found in the slices of a sample that are done, against what was read of it: anything done twice or not at
# all, or done wrongly, shows as a difference.
_WRONG = """
SELECT count(*) FROM (
    SELECT sample.hits AS read, (
        SELECT sum((slice.result->>'hits')::bigint) FROM stf_tfslice AS slice
        JOIN stf_fastmonfile AS file ON file.id = slice.fastmon_file_id WHERE file.sample_id = sample.id
    ) AS found
    FROM stf_fastmonsample AS sample JOIN runs_run ON runs_run.id = sample.run_id
    WHERE run_number = %s AND slicing = 'cut'
) AS samples WHERE read IS DISTINCT FROM found
"""
_SAMPLED = """
SELECT count(*) FROM stf_fastmonsample AS sample JOIN runs_run ON runs_run.id = sample.run_id
WHERE run_number = %s AND sample.state = 'sampled'
"""
_WORKERS = "SELECT pid FROM stf_worker WHERE ended_at IS NULL AND pid IS NOT NULL ORDER BY id"


@dataclass(frozen=True)
class Slices:
    """Exactly once means: all slices done, counters equal to rows, hits found equal to hits read."""

    stfs: int
    slices: int
    done: int
    not_done: int
    retries: int
    kills: int
    wrong_samples: int
    counters_exact: bool
    created_per_second: float
    done_per_second: float
    exactly_once: bool


def measure(testbed: Testbed, *, stfs: int, seconds: float = 600) -> Slices:
    """A run of `stfs` small STFs whose samples wait until all are there; then they are cut, and the killing begins."""
    testbed.supervisor.stop([PROGRAM])
    run = outcome(testbed.start_run(*_parameters(stfs)))
    run_number = run["run_number"]
    sampled = testbed.ask(_SAMPLED, run_number)[0][0]
    testbed.supervisor.start(PROGRAM)
    kills = _kill_until_done(testbed, run_number, sampled * SLICES_PER_STF, seconds)
    total, done, not_done, retries = testbed.ask(_COUNTS, run_number)[0]
    created, finished, open_ones = testbed.ask(_COUNTERS, run_number)[0]
    creating, finishing = testbed.ask(_SPANS, run_number)[0]
    wrong = testbed.ask(_WRONG, run_number)[0][0]
    exact = (created, finished, open_ones) == (total, done, 0)
    return Slices(
        stfs=sampled,
        slices=total,
        done=done,
        not_done=not_done,
        retries=retries,
        kills=kills,
        wrong_samples=wrong,
        counters_exact=exact,
        created_per_second=round(total / creating, 1) if creating else 0.0,
        done_per_second=round(done / finishing, 1) if finishing else 0.0,
        exactly_once=exact and not wrong and done == total == sampled * SLICES_PER_STF,
    )


def _parameters(stfs: int) -> list[str]:
    values = {
        "daq_state_machine.physics_period_count": 1,
        "daq_state_machine.stf_interval": 0.02,
        "daq_state_machine.stf_generation_time": 0.0,
        "stf.size_bytes": 20_000,
        "stf.tf_count": 100,
        "processing.policy": '"none"',
        "fastmon.stf_sampling_rate": 0.3,
        "fastmon.max_age_seconds": 3600.0,
        "fastmon.keep_seconds": 3600.0,
        "fastproc.slices_per_sample": SLICES_PER_STF,
        "fastproc.target_worker_count": WORKERS,
        "fastproc.worker_rampup_time": 0.0,
        "fastproc.backlog_policy": '"all"',
    }
    given = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    return ["--stf-count", str(stfs), *given]


def _kill_until_done(testbed: Testbed, run_number: int, expected: int, seconds: float) -> int:
    """Kill a worker every `KILL_SECONDS`, until as many slices are final as are expected; how many were killed."""
    dice = random.Random(SEED)
    kills, next_kill = 0, time.monotonic() + KILL_SECONDS
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        _, done, not_done, _ = testbed.ask(_COUNTS, run_number)[0]
        if done + not_done >= expected:
            break
        if time.monotonic() > next_kill and (pids := [pid for (pid,) in testbed.ask(_WORKERS)]):
            with suppress(ProcessLookupError):
                os.kill(dice.choice(pids), signal.SIGKILL)
                kills += 1
            next_kill += KILL_SECONDS
        time.sleep(POLL_SECONDS)
    return kills
