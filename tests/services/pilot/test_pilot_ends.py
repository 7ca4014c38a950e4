"""The end of a job or of its pilot before the job is done: asked for, killed, or taken up by the next pilot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from services.panda.pilot import patience
from services.panda.pilot.errors import Code, Stopped
from services.panda.pilot.patience import Stop
from services.panda.pilot.pilot import Pilot
from tests.processes import gone
from tests.services.catalogue import poll
from tests.services.pilot.fakes import described
from tests.services.pilot.world import OUTPUT, World, recover

SLEEPER = 'sleep 1000 & echo $! > "$PIDS"/a; setsid sleep 1000 & echo $! > "$PIDS"/b; wait'


def test_nothing_of_a_payload_outlives_it(world: World, tmp_path: Path) -> None:
    world.do(described(command=f"PIDS={tmp_path}; {SLEEPER.removesuffix('wait')} echo a > out.txt"))
    assert world.panda.last["job_status"] == "finished"
    pids = [int((tmp_path / name).read_text()) for name in "ab"]
    poll(lambda: all(map(gone, pids)))


def test_killed_job_ends_at_once_and_leaves_nothing(world: World, tmp_path: Path) -> None:
    def kill(report: dict[str, Any]) -> None:
        if (tmp_path / "b").exists() and (tmp_path / "b").read_text().endswith("\n"):
            world.panda.killed.add(7)

    world.panda.before_update = kill
    report = world.do(described(command=f"PIDS={tmp_path}; {SLEEPER}"))
    assert (report["job_status"], report["pilot_error_code"]) == ("failed", Code.KILLED)
    pids = [int((tmp_path / name).read_text()) for name in "ab"]
    poll(lambda: all(map(gone, pids)))
    assert world.catalogue.registrations == 0
    assert world.directories() == []


def test_pilot_that_is_to_end_lets_a_short_job_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "GRACE_SECONDS", 20.0)
    world.panda.after_update = lambda _: world.stop.ask()
    assert world.do(described(command="echo a > out.txt"))["job_status"] == "finished"


def test_pilot_that_is_to_end_reports_a_long_job_as_failed(world: World) -> None:
    world.panda.after_update = lambda _: world.stop.ask()
    report = world.do(described(command="sleep 100"))
    assert (report["job_status"], report["pilot_error_code"]) == ("failed", Code.ENDED)
    assert world.directories() == []


def test_report_that_cannot_be_sent_before_the_end_is_left_to_the_next_pilot(world: World) -> None:
    def leave() -> None:
        world.stop.ask()
        world.panda.faults += ["away"] * 1000

    world.catalogue.after_register = leave
    with pytest.raises(Stopped):
        world.do(described(command="echo a > out.txt"))
    assert world.directories() == ["7"]

    world.panda.faults.clear()
    world.stop = Stop()
    recover(world)
    assert world.panda.last["job_status"] == "finished"
    assert world.catalogue.outputs == world.catalogue.stored() == {OUTPUT}


CHILD = """\
import sys
from pathlib import Path
from services.panda.pilot import attempt
from services.panda.pilot.pilot import Pilot
from tests.services.pilot.fakes import described
from tests.services.pilot.world import World

world = World(Path(sys.argv[1]))
job = described(command=sys.argv[2])
world.panda.give_out(job)
if sys.argv[3] == "registered":
    world.catalogue.after_register = lambda: (Path(sys.argv[1], "ready").touch(), sys.stdin.read())
world.pilot.do(job)
"""


def killed_pilot(world: World, tmp_path: Path, command: str, moment: str) -> None:
    """A pilot in a process of its own, killed as soon as the file `ready` is there."""
    code = textwrap.dedent(CHILD)
    child = subprocess.Popen([sys.executable, "-c", code, tmp_path, command, moment], stdin=subprocess.PIPE)
    try:
        poll(lambda: (tmp_path / "ready").exists() or child.poll() is not None)
        assert child.poll() is None
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
    assert world.directories() == ["7"]
    world.panda.states[7], world.panda.attempts[7] = "running", 1


def test_payload_dies_with_its_pilot_and_the_next_one_reports_it(world: World, tmp_path: Path) -> None:
    command = f"PIDS={tmp_path}; echo $$ > {tmp_path}/c; {SLEEPER.removesuffix('wait')} touch {tmp_path}/ready; wait"
    killed_pilot(world, tmp_path, command, "running")
    pids = [int((tmp_path / name).read_text()) for name in "abc"]
    poll(lambda: gone(pids[2]))
    recover(world)
    poll(lambda: all(map(gone, pids)))
    report = world.panda.last
    assert (report["job_status"], report["pilot_error_code"]) == ("failed", Code.LOST)
    assert report["pilot_error_diag"] == "the pilot was killed"


def test_outputs_of_a_pilot_that_died_before_its_report_do_not_stay(world: World, tmp_path: Path) -> None:
    killed_pilot(world, tmp_path, "echo a > out.txt", "registered")
    assert world.catalogue.stored() == {OUTPUT}
    recover(world)
    assert world.panda.last["pilot_error_code"] == Code.LOST
    assert world.catalogue.stored() == set()


def test_directory_of_a_living_pilot_is_left_alone(world: World) -> None:
    def look(report: dict[str, Any]) -> None:
        world.panda.after_update = None
        other = Pilot(world.settings, world.panda, world.catalogue, Stop(), lambda *_: None)
        other._acquire = lambda: other._stop.ask()  # type: ignore[method-assign]
        other.run()

    world.panda.after_update = look
    assert world.do(described(command="echo a > out.txt"))["job_status"] == "finished"
