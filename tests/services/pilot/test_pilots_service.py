"""Pilots with the real PanDA-compatible server, Rucio and payload: from dataset to outputs, whatever is killed."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import uproot

from apps.stf.container.content import expected_truth
from services.base import Engine, EngineError
from services.panda.pilot.engine import SLOTS, Pilots
from tests.engines import Engines
from tests.processes import gone
from tests.services.catalogue import poll
from tests.services.pilot.processing import SHORT_WALL_SECONDS, SITE, SUMMARY, Processing

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]


def held_until(go: Path) -> str:
    """A payload that runs until the file `go` is there, and then does what it has to."""
    return f"until [ -e {go} ]; do sleep 0.1; done; {SUMMARY}"


def pilot_pids(pilots: Engine, site: str = SITE) -> list[int]:
    """Process ids of the living pilots of a queue."""
    return [json.loads(path.read_text())["pid"] for path in (pilots.directory / site).glob("slot-*.json")]


def payload_pids(pilots: Engine) -> list[int]:
    """Process ids of all payloads of this home."""
    found = []
    for directory in Path("/proc").iterdir():
        try:
            environment = (directory / "environ").read_bytes() if directory.name.isdigit() else b""
        except OSError:
            continue
        if f"SWF_PILOT_JOB={pilots.directory}/".encode() in environment:
            found.append(int(directory.name))
    return found


def payload_shell(pilots: Engine) -> int | None:
    """The process of a payload that its pilot has started: the others come of it."""
    pids = payload_pids(pilots)
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).ppid() not in pids:
                return pid
    return None


def assert_each_stf_counts_once(processing: Processing) -> None:
    """One result of each kind per STF, each with the hits that the simulation put there."""
    summaries = processing.summaries()
    assert sorted(one["inputs"][0]["file"] for one in summaries) == sorted(processing.specs)
    for summary in summaries:
        truth = expected_truth(processing.specs[summary["inputs"][0]["file"]].identity)
        assert summary["hits_by_detector"] == truth.hits_by_detector
    assert len(processing.outputs("stf.root")) == len(processing.specs)


def test_stf_is_processed_from_its_dataset_to_registered_results(processing: Processing) -> None:
    processing.add_stfs(1)
    processing.submit()
    processing.close()
    poll(processing.ended, processing.why)
    assert processing.status() == "done", processing.why()
    assert_each_stf_counts_once(processing)
    (output,) = processing.outputs("stf.root")
    with uproot.open(output.path) as file:
        assert file["hits"].values().sum() == processing.summaries()[0]["hits"]
    (did,) = processing.client.get_metadata_bulk([{"scope": output.scope, "name": output.name}])
    assert did["bytes"] == output.path.stat().st_size
    (log,) = processing.outputs(".log")
    assert log.name.endswith(".log.tgz")


def test_pilot_that_is_killed_costs_an_attempt_and_no_result(
    processing: Processing, pilots: Engine, tmp_path: Path
) -> None:
    processing.add_stfs(4)
    processing.submit(held_until(tmp_path / "go"))
    processing.close()
    poll(lambda: processing.states()["running"] >= 2, processing.why)
    victims = pilot_pids(pilots)
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    (tmp_path / "go").touch()
    poll(processing.ended, processing.why)
    assert processing.status() == "done", processing.why()
    assert_each_stf_counts_once(processing)
    lost = [job for job in processing.jobs() if job["jobStatus"] == "failed"]
    assert [job["pilotErrorDiag"] for job in lost] == ["the pilot was killed"] * len(victims)
    assert not set(pilot_pids(pilots)) & set(victims)


def test_payload_that_is_killed_is_tried_again(
    processing: Processing, pilots: Engine, tmp_path: Path
) -> None:
    processing.add_stfs(2)
    processing.submit(held_until(tmp_path / "go"))
    processing.close()
    poll(lambda: payload_shell(pilots), processing.why)
    pid = payload_shell(pilots)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    (tmp_path / "go").touch()
    poll(processing.ended, processing.why)
    assert processing.status() == "done", processing.why()
    assert_each_stf_counts_once(processing)
    (failed,) = [job for job in processing.jobs() if job["jobStatus"] == "failed"]
    assert "SIGKILL" in failed["exeErrorDiag"] or failed["exeErrorCode"] == 128 + signal.SIGKILL


def test_parent_that_is_killed_takes_all_with_it(
    processing: Processing, panda: Engine, pilots: Engine
) -> None:
    processing.add_stfs(2)
    processing.submit("sleep 100")
    poll(lambda: processing.states()["running"] == 2, processing.why)
    old = [*pilot_pids(pilots, "E1_BNL"), *pilot_pids(pilots, "E1_JLAB")]
    assert pilots.pid is not None
    os.kill(pilots.pid, signal.SIGKILL)
    poll(lambda: all(map(gone, old)))
    poll(lambda: "does not run" in str(pilots.ready()))
    pilots.stop()
    pilots.start()
    poll(lambda: processing.states()["failed"] >= 2, processing.why)
    stop(processing)
    poll(lambda: not payload_pids(pilots))


@pytest.mark.parametrize("name", ["panda", "rucio"])
def test_server_that_is_killed_in_mid_job_is_waited_for(
    processing: Processing, pilots: Engine, engines: Engines, tmp_path: Path, name: str
) -> None:
    processing.add_stfs(3)
    processing.submit(held_until(tmp_path / "go"))
    processing.close()
    poll(lambda: processing.states()["running"] == 2, processing.why)
    server = engines.start(name)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    (tmp_path / "go").touch()
    poll(lambda: "does not answer" in str(pilots.ready()))
    server.stop()
    server.start()
    poll(processing.ended, processing.why)
    assert processing.status() == "done", processing.why()
    assert_each_stf_counts_once(processing)
    poll(lambda: pilots.ready() is None, pilots.ready)


def test_pilots_of_one_home_have_one_parent(pilots: Engine) -> None:
    with pytest.raises(EngineError, match="running already"):
        pilots.run()


def stop(processing: Processing) -> None:
    """End the task and what runs of it."""
    processing.call("task/kill", {"task_id": processing.task})
    poll(processing.ended, processing.why)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        pytest.param("nonsense %IN", "exited with 127", id="wrong payload"),
        pytest.param("echo no calibration >&2; exit 3", "exited with 3: no calibration", id="non-zero"),
        pytest.param("true", "output stf.root is missing: the payload did not write it", id="nothing"),
        pytest.param("head -c 400000000 /dev/zero > stf.root", "allowed are 300 MB", id="too much"),
    ],
)
def test_bad_payload_ends_in_a_reason(processing: Processing, command: str, words: str) -> None:
    processing.add_stfs(1)
    processing.submit(command, maxAttempt=1)
    processing.close()
    poll(processing.ended, processing.why)
    assert processing.status() == "failed"
    (job,) = processing.jobs()
    assert job["jobStatus"] == "failed"
    assert words in f"{job['pilotErrorDiag']} {job['exeErrorDiag']}", processing.why()
    assert processing.outputs("stf.root") == processing.outputs("stf.json") == []


@pytest.mark.usefixtures("hasty")
def test_payload_that_hangs_ends_in_a_reason(processing: Processing) -> None:
    processing.add_stfs(1)
    processing.submit("sleep 100", maxAttempt=1)
    processing.close()
    poll(processing.ended, processing.why)
    assert processing.status() == "failed"
    (job,) = processing.jobs()
    assert f"did not end in {SHORT_WALL_SECONDS} s" in job["pilotErrorDiag"], processing.why()


def test_damaged_stf_is_named(processing: Processing) -> None:
    (name,) = processing.add_stfs(1)
    (replica,) = processing.client.list_replicas([{"scope": "group.daq", "name": name}], sort="random")
    path = Path(replica["rses"][SITE][0].removeprefix("file://localhost"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    processing.submit(maxAttempt=1)
    processing.close()
    poll(processing.ended, processing.why)
    (job,) = processing.jobs()
    assert f"{name} is damaged at {SITE}" in job["pilotErrorDiag"]


def test_killed_job_stops_at_once(processing: Processing, pilots: Engine) -> None:
    processing.add_stfs(1)
    processing.submit("sleep 1000", maxAttempt=1)
    processing.close()
    poll(lambda: processing.states()["running"] == 1, processing.why)
    (job,) = processing.jobs()
    processing.call("job/kill", {"job_ids": [job["PandaID"]]})
    poll(lambda: processing.states()["cancelled"] == 1, processing.why)
    poll(lambda: not payload_pids(pilots))
    poll(processing.ended, processing.why)
    assert processing.outputs("stf.root") == []


def test_pilots_end_gracefully_and_their_jobs_go_on_later(processing: Processing, pilots: Engine) -> None:
    processing.add_stfs(2)
    processing.submit("sleep 30; false")
    poll(lambda: processing.states()["running"] == 2, processing.why)
    pilots.stop()
    assert payload_pids(pilots) == []
    assert "asked to end" in str([job["pilotErrorDiag"] for job in processing.jobs()])
    pilots.start()
    stop(processing)


def test_number_of_slots_must_mean_something(pilots: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(pilots, Pilots)
    assert pilots.slots() == {"E1_BNL": 2, "E1_JLAB": 2}
    monkeypatch.setenv(SLOTS, "5")
    assert pilots.slots() == {"E1_BNL": 5, "E1_JLAB": 5}
    for text in ("0", "many", "-1", "1000"):
        monkeypatch.setenv(SLOTS, text)
        with pytest.raises(EngineError, match=SLOTS):
            pilots.slots()
