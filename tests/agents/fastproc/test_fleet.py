"""The fleet: workers that are started, watched and told to leave. Those of these tests are small real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apps.agents.fastproc import children, fleet
from apps.agents.fastproc.children import Children
from apps.agents.fastproc.fleet import Fleet
from apps.runs.errors import RetryableError
from apps.runs.models import JournalEntry, Run
from apps.stf import services
from apps.stf.models import FastRun
from tests.factories import a_running_run, ended, kinds, registered
from tests.processes import gone
from tests.slices import SLICED, a_sliced_run, done, heard

SLEEPER = (sys.executable, "-c", "import time; time.sleep(600)")
AT_ONCE = {"worker_rampup_time": 0, "worker_rampdown_time": 0}


def eventually(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def kept() -> Iterator[Children]:
    """Children that do nothing until they are told to leave."""
    those = Children(SLEEPER)
    yield those
    those.keep(0)
    eventually(lambda: not alive(those))


def alive(those: Children) -> list[int]:
    """The processes that there are, after those that have ended were noticed."""
    those.keep(len(those.pids))
    return [child.process.pid for child in those._children]


class TestChildren:
    def test_as_many_as_are_wanted_are_kept(self, kept: Children) -> None:
        kept.keep(2)
        first, second = kept.pids
        kept.keep(2)
        assert kept.pids == [first, second]
        kept.keep(1)
        assert kept.pids == [first]
        eventually(lambda: alive(kept) == [first])

    def test_one_that_was_killed_after_a_while_is_replaced(
        self, kept: Children, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(children, "TOO_SOON_SECONDS", 0.0)
        kept.keep(1)
        [first] = kept.pids
        os.kill(first, signal.SIGKILL)

        def replaced() -> bool:
            kept.keep(1)
            return kept.pids != [first]

        eventually(replaced)
        assert kept.trouble == ""

    def test_those_that_end_at_once_are_not_started_again_and_again(self) -> None:
        broken = Children((sys.executable, "-c", "raise SystemExit(3)"))

        def noticed() -> bool:
            broken.keep(1)
            return bool(broken.trouble)

        eventually(noticed)
        assert broken.trouble == "a worker ended at once (exit status 3): see this agent's log"
        broken.keep(1)
        assert broken.pids == []

    def test_a_command_that_is_not_there_is_named(self) -> None:
        missing = Children(("/nowhere/worker",))
        missing.keep(2)
        assert missing.trouble.startswith("a worker cannot be started: ")

    def test_one_that_does_not_leave_is_killed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        stubborn = Children((sys.executable, "-c", deaf))
        monkeypatch.setattr(children, "LEAVE_SECONDS", 0.5)
        stubborn.keep(1)
        stubborn.keep(0)
        eventually(lambda: not alive(stubborn))

    def test_they_leave_when_whoever_started_them_is_killed(self) -> None:
        assert children.WORKER[:3] == ("setpriv", "--pdeathsig", "TERM")
        command = [*children.WORKER[:3], *SLEEPER]
        parent = (
            f"import subprocess, time; print(subprocess.Popen({command!r}).pid, flush=True); time.sleep(600)"
        )
        with subprocess.Popen((sys.executable, "-c", parent), stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            child = Path("/proc", process.stdout.readline().strip())
            eventually(lambda: (child / "cmdline").read_bytes().startswith(sys.executable.encode()))
            process.kill()
        eventually(lambda: gone(int(child.name)))


@pytest.mark.django_db
@pytest.mark.usefixtures("exit_buffer")
class TestFleet:
    @pytest.fixture
    def a_fleet(self, kept: Children) -> Fleet:
        return Fleet(kept)

    def test_a_run_that_takes_data_has_a_worker_before_its_first_slice(
        self, a_fleet: Fleet, kept: Children
    ) -> None:
        run = a_running_run(**SLICED, **AT_ONCE)
        services.ensure_fast_run(run)
        a_fleet.step()
        assert len(kept.pids) == 1
        assert FastRun.objects.get(run=run).wanted_worker_count == 1

    def test_more_slices_want_more_workers_up_to_the_target(self, a_fleet: Fleet, kept: Children) -> None:
        run = a_sliced_run(3, slice_processing_time=10, target_worker_count=2, **AT_ONCE)
        a_fleet.step()
        a_fleet.step()
        assert len(kept.pids) == 2
        entry = run.journal.get(kind="workers_wanted")
        assert (entry.payload["wanted"], entry.payload["backlog"]) == (2, 18)

    @pytest.mark.parametrize("workers", ["panda", "external"])
    def test_those_of_others_are_not_started_here(self, a_fleet: Fleet, kept: Children, workers: str) -> None:
        run = a_sliced_run(3, workers=workers, **AT_ONCE)
        a_fleet.step()
        assert kept.pids == []
        assert FastRun.objects.get(run=run).wanted_worker_count > 0

    def test_when_the_run_is_through_they_leave_and_all_are_told(
        self, a_fleet: Fleet, kept: Children
    ) -> None:
        run = self.through(a_sliced_run(**AT_ONCE), a_fleet)
        assert len(kept.pids) == 2
        heard()
        ended(run, count=1)
        a_fleet.step()
        a_fleet.step()

        assert kept.pids == []
        [entry] = run.journal.filter(kind="stop_transformer")
        assert entry.payload["content"]["worker_ids"] == ["worker-1"]
        assert FastRun.objects.get(run=run).wanted_worker_count == 0

    def test_those_that_another_run_needs_stay(self, a_fleet: Fleet, kept: Children) -> None:
        run, _ = self.through(a_sliced_run(**AT_ONCE), a_fleet), a_sliced_run(**AT_ONCE)
        heard()
        ended(run, count=1)
        a_fleet.step()

        assert run.journal.get(kind="stop_transformer").payload["content"]["worker_ids"] == []
        assert len(kept.pids) >= 1

    def test_a_run_without_slices_stops_nobody(self, a_fleet: Fleet) -> None:
        run = a_running_run(stf_sampling_rate=0.1, slices_per_sample=0)
        services.ensure_fast_run(run)
        ended(run, count=0)
        a_fleet.step()
        assert FastRun.objects.get(run=run).drained_at is not None
        assert kinds(run, "stop_transformer") == []

    def test_pandas_workers_that_are_too_many_are_told_to_leave_once(self, a_fleet: Fleet) -> None:
        a_sliced_run(workers="panda", target_worker_count=1, **AT_ONCE)
        for number in (1, 2):
            heard(f"worker-{number}", panda_id=number)
        for _ in range(2):
            a_fleet.step()

        entry = JournalEntry.objects.get(kind="stop_transformer")
        assert entry.payload["content"]["worker_ids"] == ["worker-2"]
        assert entry.namespace is not None

    def test_slices_that_nobody_takes_are_complained_about(
        self, a_fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = a_sliced_run(workers="external")
        a_fleet.step()
        monkeypatch.setattr(fleet, "PATIENCE_SECONDS", -1.0)
        with pytest.raises(
            RetryableError, match=f"6 slices of run {run} wait for a worker to be up: somebody"
        ):
            a_fleet.step()
        heard()
        a_fleet.step()

    def test_workers_that_do_not_start_are_complained_about(self) -> None:
        a_sliced_run(**AT_ONCE)
        with pytest.raises(RetryableError, match="a worker cannot be started"):
            Fleet(Children(("/nowhere/worker",))).step()

    def through(self, run: Run, a_fleet: Fleet) -> Run:
        """All slices of the run are done."""
        registered(*run.stf_files.all())
        a_fleet.step()
        while claimed := services.claim_slices(5):
            done(*claimed)
        return run
