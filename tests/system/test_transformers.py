"""Transformers of the existing swf system process the slices of our runs, as they are and beside our own workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from services.bus import Bus
from services.registry import engine

from .plain_client import PlainClient
from .testbed import Testbed, wait_until
from .transformer import Transformer

pytestmark = [
    pytest.mark.services,
    pytest.mark.timeout(600),
    pytest.mark.parametrize("testbed", [Bus.ACTIVEMQ], indirect=True),
]

STFS, SLICES_EACH = 4, 6
SAMPLED = {
    "fastmon.stf_sampling_rate": 0.2,
    "fastmon.max_age_seconds": 60.0,
    "fastproc.slices_per_sample": SLICES_EACH,
    "fastproc.workers": "external",
    "fastproc.backlog_policy": "all",
    "processing.policy": "none",
}


def start_run(testbed: Testbed, **changes: str) -> int:
    sampled = {**SAMPLED, **{f"fastproc.{name}": value for name, value in changes.items()}}
    settings = [word for name, value in sampled.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    return testbed.start_run("--workflow", "fast", "--stf-count", str(STFS), *settings)


@pytest.fixture
def run_of_slices(testbed: Testbed) -> int:
    """A run whose slices wait: there is no worker."""
    run = start_run(testbed)
    wait_until(
        lambda: counts(testbed, run).get("queued") == STFS * SLICES_EACH,
        seconds=120,
        what="the slices wait for a worker",
    )
    return run


@pytest.fixture
def transformers(testbed: Testbed, run_of_slices: int) -> Iterator[list[Transformer]]:
    """Two of the existing system, for this run."""
    environment = engine("activemq", testbed.home).environment()
    made = [Transformer(environment, "local", str(run_of_slices)) for _ in range(2)]
    # Only now: the first that is heard of is given slices, and might do them all before the second is there.
    for one in made:
        one.beat()
    yield made
    for one in made:
        one.close()


def counts(testbed: Testbed, run: int) -> dict[str, int]:
    """How many slices of the run are in each state."""
    found: list[tuple[Any, ...]] = testbed.rows(
        "SELECT status, count(*) FROM stf_tfslice WHERE run_id ="
        " (SELECT id FROM runs_run WHERE run_number = %s) GROUP BY status",
        run,
    )
    return dict(found)


def test_they_process_each_slice_of_a_run_once_and_hear_its_end(
    testbed: Testbed, run_of_slices: int, transformers: list[Transformer]
) -> None:
    all_done = {"done": STFS * SLICES_EACH}
    wait_until(
        lambda: counts(testbed, run_of_slices) == all_done, seconds=120, what="each slice is processed"
    )
    taken = [one["content"]["req_id"] for each in transformers for one in each.slices]
    assert len(taken) == len(set(taken)) == STFS * SLICES_EACH
    assert all(each.slices for each in transformers)
    for each in transformers:
        for body, headers in zip(each.slices, each.headers, strict=True):
            assert (headers["vo"], headers["persistent"]) == ("eic", "true")
            assert (headers["namespace"], headers["run_id"]) == ("local", body["run_id"])
    for each in transformers:
        assert each.stopped.wait(120), "stop_transformer was not heard"
    # Another test of this testbed has rubbish parked, which has none of these types.
    assert (
        testbed.rows(
            "SELECT reason FROM agents_deadletter WHERE msg_type IN ('slice_result', 'worker_heartbeat', 'heartbeat')"
        )
        == []
    )


def test_whoever_starts_transformers_hears_of_a_run_and_its_end(testbed: Testbed) -> None:
    client = PlainClient(engine("activemq", testbed.home).environment())
    client.subscribe("/topic/panda.workers")
    run = start_run(testbed, workers="local")
    came = wait_until(
        lambda: len(client.came("/topic/panda.workers")) >= 2 and client.came("/topic/panda.workers"),
        seconds=120,
        what="two messages",
    )
    # The run is over so soon that its end may be told before an agent has asked for workers.
    of_type = {one["msg_type"]: one for one in came}
    assert of_type.keys() == {"run_imminent_worker", "end_run"}
    assert {one["run_id"] for one in came} == {str(run)}
    assert of_type["run_imminent_worker"]["content"]["target_worker_count"] == 2
    wait_until(
        lambda: counts(testbed, run) == {"done": STFS * SLICES_EACH},
        seconds=120,
        what="our own workers process the slices",
    )
    client.close()
