"""Both agents' loops over real engines: Rucio, the PanDA-compatible server, and pilots that run the payload."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import randrange
from typing import Any

import pytest
from django.db.models import Q

from apps.agents.bus.schemas import StfGen
from apps.agents.daqsim.stf_source import SimulatedSource, buffer_directory
from apps.agents.data.allocator import Allocator
from apps.agents.data.closer import Closer
from apps.agents.data.follower import Follower as CopyFollower
from apps.agents.data.handlers import stf_was_generated
from apps.agents.data.outputs import OutputVerifier
from apps.agents.data.registrar import Registrar
from apps.agents.data.rucio import Rucio
from apps.agents.processing.commands import Commands
from apps.agents.processing.follower import Follower
from apps.agents.processing.killer import Killer
from apps.agents.processing.panda import Panda
from apps.agents.processing.prun import build_parameters
from apps.agents.processing.submitter import Submitter
from apps.runs.errors import RetryableError
from apps.runs.models import Counter, Run
from apps.stf import selectors, services
from apps.stf.models import ProcessingJob, StfProcessing
from services.base import Engine
from services.panda.pilot.engine import Pilots
from services.storage import E0, storage_root
from tests.factories import a_running_run, ended
from tests.processing import BNL, JLAB, states, task_of

pytestmark = [pytest.mark.django_db, pytest.mark.services, pytest.mark.timeout(900)]

DEADLINE_SECONDS = 240.0
FAST = {"policy": "round-robin", "size_bytes": 20_000, "tf_count": 10, "hole_wait_seconds": 3600}


class Testbed:
    """The loops of both agents, taking turns."""

    __test__ = False

    def __init__(self) -> None:
        rucio, panda = Rucio(), Panda()
        self.steps: tuple[Callable[[], object], ...] = (
            Registrar(rucio).step,
            CopyFollower(rucio).follow,
            Allocator(rucio).step,
            OutputVerifier(rucio).step,
            Closer(rucio).step,
            Submitter(panda, build_parameters).step,
            Follower(panda).step,
            Commands(panda).step,
            Killer(panda).step,
        )

    def run(self, **overrides: Any) -> Run:
        """A run with a number that no test before has used: Rucio and PanDA remember."""
        number = randrange(10**6, 10**9)
        Counter.objects.update_or_create(name="run_number", defaults={"value": number})
        return a_running_run(**{**FAST, **overrides})

    def take(self, run: Run, *sequences: int) -> None:
        """The DAQ makes these STFs and says so."""
        buffer_directory(run).mkdir(parents=True, exist_ok=True)
        for sequence in sequences:
            said = SimulatedSource(run).make(sequence)
            fields = {"run_id": run.run_number, "state": "run", "substate": "physics", **said}
            stf_was_generated(StfGen.model_validate(fields))

    def until(self, reached: Callable[[], object]) -> None:
        """Let the loops take turns until this is true."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        troubles: list[str] = []
        while not reached():
            assert time.monotonic() < deadline, (troubles[-5:], _state())
            for step in self.steps:
                try:
                    step()
                except RetryableError as error:
                    troubles.append(str(error))
            time.sleep(0.1)


def _state() -> list[object]:
    return [*StfProcessing.objects.all(), *ProcessingJob.objects.all()]


@pytest.fixture(scope="module")
def pilots(panda: Engine) -> Iterator[Engine]:
    """Running pilots, two of each queue."""
    running = Pilots(panda.home)
    running.start()
    yield running
    with suppress(Exception):
        running.stop()


@pytest.fixture
def testbed(
    panda: Engine, rucio: Engine, pilots: Engine, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Testbed:
    for engine in (panda, rucio):
        for name, value in engine.environment().items():
            monkeypatch.setenv(name, value)
    settings.SWF_E0_BUFFER = storage_root(rucio.home, E0)
    return Testbed()


def closed(run: Run) -> bool:
    run.refresh_from_db()
    return run.lifecycle == "closed"


def test_a_run_is_archived_and_processed_at_both_sites_and_proved(testbed: Testbed) -> None:
    run = testbed.run()
    testbed.take(run, 1, 2, 3)
    testbed.until(lambda: run.processings.filter(attached_at__isnull=False).count() == 3)
    testbed.take(run, 4, 5, 6)
    ended(run, count=6)
    testbed.until(lambda: closed(run))

    assert run.proof.processed == {BNL: 3, JLAB: 3}
    assert run.proof.outputs == 12
    testbed.until(lambda: {task_of(run, site).status for site in (BNL, JLAB)} == {"done"})


def settled(run: Run) -> bool:
    """Whether the run has no open job and PanDA, which has seen what was taken out of the datasets, makes none."""
    waiting = run.processings.exclude(state="done").exclude(state="failed")
    may_come = Q(attach_asked_at__isnull=False) | Q(detached_at__isnull=False, cleared_at__isnull=True)
    open_jobs = ProcessingJob.objects.filter(task__run=run, ended_at__isnull=True)
    return not open_jobs.exists() and not waiting.filter(may_come).exists()


def test_a_site_goes_down_half_way_and_the_other_does_its_work(testbed: Testbed, tmp_path: Path) -> None:
    go = tmp_path / "go"
    # Two run at each site until they are told to go on, so two are left waiting there.
    run = testbed.run(
        payload=f"sh -c 'until [ -e {go} ]; do sleep 0.1; done; cp %IN stf.root; date > stf.json'"
    )
    testbed.take(run, *range(1, 9))
    testbed.until(lambda: run.processings.filter(site=JLAB, state="running").exists())
    services.site_down(JLAB, by="ann", reason="flood")
    testbed.until(lambda: not run.processings.filter(site=JLAB, state__in=["waiting", "queued"]).exists())
    assert run.journal.filter(kind="processing_moved").count() >= 1
    go.touch()
    testbed.take(run, 9, 10)
    testbed.until(lambda: run.processings.filter(state="done").count() == 10)
    services.site_up(JLAB, by="ann", reason="dry")
    testbed.take(run, 11, 12)
    ended(run, count=12)
    testbed.until(lambda: closed(run))

    assert run.proof.outputs == 24
    assert states(run)[-1] == (12, JLAB, "done")
    finished = ProcessingJob.objects.filter(task__run=run, status="finished")
    assert finished.count() == 12


def test_a_brake_stops_everything_and_releasing_it_goes_on(testbed: Testbed) -> None:
    run = testbed.run(payload="sh -c 'sleep 60; cp %IN stf.root; date > stf.json'")
    testbed.take(run, *range(1, 7))
    testbed.until(lambda: run.processings.filter(state="running").exists())
    services.brake_on(run.run_number, by="ann", reason="wrong payload", cancel=True)
    testbed.until(lambda: settled(run))
    made = ProcessingJob.objects.filter(task__run=run).count()
    quiet = time.monotonic() + 4
    testbed.until(lambda: time.monotonic() > quiet)
    assert ProcessingJob.objects.filter(task__run=run).count() == made

    services.brake_off(run.run_number, by="ann", reason="try again")
    testbed.until(lambda: run.processings.filter(state="running").exists())
    services.brake_on(run.run_number, by="ann", reason="enough", cancel=True)
    testbed.until(lambda: settled(run))


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ("sh -c 'echo broken detector >&2; exit 65'", "65"),
        ("true", "stf.root"),
    ],
)
def test_a_payload_that_fails_is_given_up_and_its_reason_is_in_the_proof(
    testbed: Testbed, payload: str, words: str
) -> None:
    run = testbed.run(payload=payload, max_attempt=2, hole_wait_seconds=0)
    testbed.take(run, 1)
    ended(run, count=1)
    testbed.until(lambda: run.processings.filter(state="failed").exists())
    services.evaluate(run)

    [left] = run.proof.missing
    assert left["kind"] == "not processed"
    assert left["reason"].startswith("E1_BNL: PanDA has given up after 2 failed jobs: ")
    assert words in left["reason"]


def test_an_unknown_queue_is_named_at_every_stf(testbed: Testbed) -> None:
    run = testbed.run(queues={BNL: "E1_MARS"}, sites=[BNL])
    testbed.take(run, 1)
    testbed.until(lambda: task_of(run).reason if run.tasks.exists() else "")

    assert "E1_MARS" in selectors.unprocessed(run, last=1)[0].reason
