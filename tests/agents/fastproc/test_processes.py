"""The agent as a process, with the workers that it starts: slices end once, whoever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from apps.agents.bus import pgmq
from apps.runs.models import Run
from apps.stf import services
from apps.stf.container.writer import StfSpec, write_stf
from apps.stf.models import FastMonSample, FastRun, TFSlice, Worker
from apps.stf.services import SampleRead, TfFileMade
from services.base import REPOSITORY
from tests import database
from tests.agents.worker.process import wait_until
from tests.engines import names_an_engine
from tests.factories import a_running_run, an_stf, ended, kinds, registered
from tests.processes import gone
from tests.slices import SLICED, counted, states

pytestmark = [
    pytest.mark.services,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("exit_buffer"),
    pytest.mark.timeout(900),
]
SAMPLES, SLICES = 10, 100
SLOW = "sh -c 'sleep 0.2; echo {} > %OUT'"


class Agent:
    """`manage.py agent fastproc` on the test database, which is its broker too."""

    def __init__(self, home: Path) -> None:
        self._log = home / "fastproc.log"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not names_an_engine(name)},
            "SWF_HOME": str(home),
            "SWF_NAMESPACE": "test",
            "DATABASE_URL": database.address(),
            "BROKER_URL": database.address("pgmq"),
        }
        pgmq.install()
        self._manage("prepare_broker").wait(180)
        self.process = self._manage("agent", "fastproc")

    def _manage(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=REPOSITORY,
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def start_again(self) -> None:
        self.process = self._manage("agent", "fastproc")

    def log(self) -> str:
        return self._log.read_text()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    one = Agent(tmp_path)
    yield one
    pids = up()
    one.kill()
    wait_until(lambda: all(map(gone, pids)), what="its workers leave with it")


def up() -> list[int]:
    """The workers' processes."""
    return [worker.pid for worker in Worker.objects.filter(ended_at__isnull=True) if worker.pid]


def a_run_to_process(directory: Path, **overrides: object) -> Run:
    """A run with samples in real TF files that wait for being cut."""
    wanted = {"slices_per_sample": SLICES // SAMPLES, "worker_rampup_time": 0}
    run = a_running_run(**SLICED | wanted | overrides)
    stfs = [an_stf(run, sequence) for sequence in range(1, SAMPLES + 1)]
    services.announce_samples(stf.stf_filename for stf in stfs)
    samples = FastMonSample.objects.filter(run=run).select_related("stf")
    services.decide_samples(
        [SampleRead(sample_id=one.pk, files=[tf_file(one, directory)], tf_count=20) for one in samples]
    )
    registered(*stfs)
    return ended(run, count=SAMPLES)


def tf_file(sample: FastMonSample, directory: Path) -> TfFileMade:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    name = sample.stf.stf_filename.removesuffix(".stf") + "_tf_000.tf"
    spec = StfSpec(
        run_number=sample.run.run_number,
        sequence=sample.sequence,
        seed=1,
        size_bytes=20_000,
        tf_first=sample.sequence * 1000,
        tf_count=20,
        begin=begin,
        end=begin + timedelta(seconds=1),
        state="run",
        substate="physics",
    )
    written = write_stf(directory / name, spec, durable=False)
    return TfFileMade(
        tf_filename=name,
        file_url=str(written.path),
        file_size_bytes=20_000,
        checksum="0000000a",
        tf_first=spec.tf_first,
        tf_last=spec.tf_first + 19,
        tf_count=20,
    )


def is_drained(run: Run) -> bool:
    return FastRun.objects.get(run=run).drained_at is not None


def until(agent: Agent, true: Callable[[], object], what: str) -> None:
    try:
        wait_until(true, what=what, seconds=240)
    except AssertionError:
        pytest.fail(f"{what}: {list(Worker.objects.values())}\n{agent.log()}")


def check(run: Run) -> None:
    """Every slice was done once, and the journal says so."""
    assert counted(run) == states(run) == {"done": SLICES}
    assert kinds(run, "sample_processed", "slice_failed") == ["sample_processed"] * SAMPLES
    assert kinds(run, "stop_transformer") == ["stop_transformer"]


def test_a_run_is_processed_by_workers_that_come_and_go_with_it(agent: Agent, tmp_path: Path) -> None:
    run = a_run_to_process(tmp_path)
    until(agent, lambda: is_drained(run), "the run is drained")
    check(run)
    assert sum(one.result["tfs"] for one in TFSlice.objects.all()) == SAMPLES * 20
    until(agent, lambda: not up(), "the workers have left")


def kill_one() -> bool:
    """SIGKILL a worker. One that was killed before is taken for being up, until it has been silent for a while."""
    for pid in up():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def test_workers_and_the_agent_are_killed_and_every_slice_is_done_once(agent: Agent, tmp_path: Path) -> None:
    # A slice is tried three times: a lease that ends while its worker is slow and not dead costs one of them.
    run = a_run_to_process(tmp_path, slice_payload=SLOW, slice_processing_time=0.2, lease_seconds=15)
    for most in (90, 70):
        until(agent, lambda most=most: up() and states(run).get("queued", SLICES) < most, "some are through")
        until(agent, kill_one, "a worker is killed")
    agent.kill()
    agent.start_again()
    until(agent, lambda: is_drained(run), "the run is drained")
    check(run)
