"""Slices that are processed by jobs of PanDA's: its pilots run the same worker as anybody."""

from __future__ import annotations

import json

import pytest

from services.bus import Bus

from .test_transformers import SAMPLED, SLICES_EACH, STFS, counts
from .testbed import Testbed, wait_until

pytestmark = [
    pytest.mark.services,
    pytest.mark.timeout(600),
    # Any would do; so it is one with other tests.
    pytest.mark.parametrize("testbed", [Bus.PGMQ], indirect=True),
]


def test_the_slices_of_a_run_are_processed_by_jobs_that_leave_when_it_is_through(testbed: Testbed) -> None:
    wanted = {**SAMPLED, "fastproc.workers": "panda", "fastproc.worker_rampup_time": 0.0}
    settings = [word for name, value in wanted.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    run = testbed.start_run("--workflow", "fast", "--stf-count", str(STFS), *settings)
    wait_until(
        lambda: counts(testbed, run) == {"done": STFS * SLICES_EACH},
        seconds=240,
        what="each slice is processed",
    )
    workers = testbed.rows(
        "SELECT DISTINCT panda_id FROM stf_worker JOIN stf_tfslice ON worker_id = assigned_worker"
        " WHERE run_id = (SELECT id FROM runs_run WHERE run_number = %s)",
        run,
    )
    assert workers
    assert all(panda_id for (panda_id,) in workers)
    wait_until(
        lambda: (
            testbed.rows(
                "SELECT count(*), count(ended_at), min(reason) FROM stf_workertask WHERE run_id ="
                " (SELECT id FROM runs_run WHERE run_number = %s)",
                run,
            )
            == [(1, 1, "")]
        ),
        seconds=180,
        what="its jobs have left by themselves",
    )
