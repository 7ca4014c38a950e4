"""One STF of the real size: what sampling it costs."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.fastpath.testbed import Testbed, outcome

STF_BYTES = 2_000_000_000

_SAMPLE = """
SELECT sample.state, sample.reason, bytes_read, requests, read_seconds, sample.tf_count, hits,
    extract(epoch FROM sample.decided_at - stf.generated_at)::float8
FROM stf_fastmonsample AS sample JOIN stf_stffile AS stf ON stf.id = sample.stf_id
JOIN runs_run ON runs_run.id = sample.run_id WHERE run_number = %s
"""


@dataclass(frozen=True)
class BigStf:
    """What became of it: bytes, TFs and hits read, in how many requests and s; s from closing the file to its histogram."""

    source: str
    stf_bytes: int
    state: str
    reason: str
    bytes_read: int
    requests: int
    read_seconds: float
    tfs: int
    hits: int
    latency_s: float


def measure(testbed: Testbed, source: str, *, stf_bytes: int = STF_BYTES) -> BigStf:
    """A run of one STF of this size."""
    run = outcome(
        testbed.start_run(
            *(
                "--stf-count",
                "1",
                "--stf-size",
                str(stf_bytes),
                "--set",
                "daq_state_machine.physics_period_count=1",
            ),
            *("--set", 'processing.policy="none"'),
        )
    )
    [(state, reason, *numbers)] = testbed.ask(_SAMPLE, run["run_number"])
    bytes_read, requests, read_seconds, tfs, hits, latency = numbers
    return BigStf(
        source,
        stf_bytes,
        state,
        reason,
        bytes_read,
        requests,
        round(read_seconds, 3),
        tfs,
        hits,
        round(latency, 2),
    )
