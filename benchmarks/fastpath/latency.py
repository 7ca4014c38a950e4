"""From the moment at which the DAQ closes an STF to the frame that has its hits on an open page."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import websocket

from benchmarks.fastpath.testbed import Testbed, outcome, wait_until
from benchmarks.numbers import percentile

PAGE_GROUP = "tracking"
FRAME_SECONDS = 1.0
# STF/s of the detector.
REAL_RATE = 1.67
DRAIN_SECONDS = 60.0

# Of each STF that was sampled, in the order in which histograms got them: when it was closed, when it was in (Unix time).
_MOMENTS = """
SELECT extract(epoch FROM stf.generated_at)::float8, extract(epoch FROM sample.decided_at)::float8
FROM stf_fastmonsample AS sample JOIN stf_stffile AS stf ON stf.id = sample.stf_id
JOIN runs_run ON runs_run.id = sample.run_id
WHERE run_number = %s AND sample.state = 'sampled' ORDER BY sample.decided_at, sample.sequence
"""
_STATES = """
SELECT sample.state, count(*), sum(bytes_read)::bigint, avg(read_seconds)::float8
FROM stf_fastmonsample AS sample JOIN runs_run ON runs_run.id = sample.run_id WHERE run_number = %s
GROUP BY sample.state
"""


@dataclass(frozen=True)
class Latency:
    """A run's figures; times in s since the DAQ had closed the STF, on the page unless said."""

    source: str
    offered_rate: float
    stfs: int
    skipped: int
    failed: int
    p50_s: float
    p95_s: float
    p99_s: float
    histogram_p50_s: float
    histogram_p95_s: float
    read_ms: float
    bytes_read_share: float


class Page(threading.Thread):
    """An open page: notes when it is told of how many sampled STFs."""

    def __init__(self, testbed: Testbed, run_number: int) -> None:
        super().__init__(daemon=True)
        self.told: list[tuple[float, int]] = []
        self._leaving = threading.Event()
        self._socket = websocket.create_connection(
            f"ws://127.0.0.1:{testbed.web_port}/ws/fastmon/runs/{run_number}/?group={PAGE_GROUP}",
            timeout=FRAME_SECONDS,
        )

    def run(self) -> None:
        while not self._leaving.is_set():
            try:
                frame = json.loads(self._socket.recv())
            except websocket.WebSocketTimeoutException:
                continue
            if frame["type"] == "fastmon":
                self.told.append((time.time(), frame["content"]["summary"]["sampled"]))

    @property
    def newest(self) -> int:
        """How many sampled STFs it has been told of."""
        return self.told[-1][1] if self.told else 0

    def leave(self) -> None:
        """Close the page."""
        self._leaving.set()
        self.join()
        self._socket.close()


def measure(testbed: Testbed, source: str, *, rate: float, stfs: int, stf_bytes: int) -> Latency:
    """A run of `stfs` STFs offered at `rate` a second, with a page open."""
    before = testbed.newest_run(after=-1)
    offered = ["--stf-count", str(stfs), "--stf-size", str(stf_bytes), "--stf-interval", str(1 / rate)]
    # Two cores cannot process more than the real rate.
    unprocessed = ["--set", 'processing.policy="none"'] if rate > REAL_RATE else []
    run = testbed.start_run(*offered, *unprocessed)
    run_number = testbed.newest_run(after=before)
    page = Page(testbed, run_number)
    page.start()
    outcome(run)
    wait_until(
        lambda: page.newest >= len(testbed.ask(_MOMENTS, run_number)),
        "the page is told of all STFs",
        DRAIN_SECONDS,
    )
    page.leave()
    states = {
        state: (count, read, seconds) for state, count, read, seconds in testbed.ask(_STATES, run_number)
    }
    sampled, read, seconds = states.get("sampled", (0, 0, 0.0))
    moments = testbed.ask(_MOMENTS, run_number)
    shown = on_the_page([closed for closed, _ in moments], page.told)
    counted = sorted(histogrammed - closed for closed, histogrammed in moments)
    p50, p95, p99 = (round(percentile(shown, share), 3) for share in (0.5, 0.95, 0.99))
    return Latency(
        source=source,
        offered_rate=rate,
        stfs=sampled,
        skipped=states.get("skipped", (0, 0, 0.0))[0],
        failed=states.get("failed", (0, 0, 0.0))[0],
        p50_s=p50,
        p95_s=p95,
        p99_s=p99,
        histogram_p50_s=round(percentile(counted, 0.5), 3),
        histogram_p95_s=round(percentile(counted, 0.95), 3),
        read_ms=round(1000 * (seconds or 0.0), 1),
        bytes_read_share=round(read / (sampled * stf_bytes), 4) if sampled else 0.0,
    )


def on_the_page(closed: Sequence[float], told: Sequence[tuple[float, int]]) -> list[float]:
    """How long after it was closed each STF was on the page, ascending.

    Args:
        closed: when, in the order in which histograms got them.
        told: frames by time: when, and how many STFs were in.
    """
    delays = []
    frames = iter(told)
    when, known = next(frames, (0.0, 0))
    for nth, moment in enumerate(closed, 1):
        while known < nth:
            when, known = next(frames)
        delays.append(when - moment)
    return sorted(delays)
