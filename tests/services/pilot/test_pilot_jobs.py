"""A pilot and one job: done well, gone wrong in every way, killed, reported twice, left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from services.panda.pilot import attempt, patience, payload
from services.panda.pilot.attempt import Settings
from services.panda.pilot.catalogue import Refused
from services.panda.pilot.errors import Away, Code, Stopped
from services.panda.pilot.patience import Stop
from services.panda.pilot.pilot import Pilot
from tests.services.catalogue import poll
from tests.services.pilot.fakes import (
    SANDBOX,
    SITE,
    STF,
    FakeCatalogue,
    FakePanda,
    described,
    output_report,
    packed,
)
from tests.services.pilot.processes import gone

CONTENT = b"an STF" * 100
OUTPUT, LOG = "user.swf.5._000007.out.txt", "user.swf.log.5.000007.log.tgz"
SLEEPER = 'sleep 1000 & echo $! > "$PIDS"/a; setsid sleep 1000 & echo $! > "$PIDS"/b; wait'


class World:
    """A pilot with everything around it."""

    def __init__(self, directory: Path) -> None:
        self.panda = FakePanda()
        self.catalogue = FakeCatalogue(directory / "storage")
        self.input = self.catalogue.add_input(CONTENT)
        self.settings = Settings(queue=SITE, node="here_1", label="test", parent=directory / SITE)
        self.stop = Stop()
        self.said: list[tuple[int | None, str | None]] = []

    @property
    def pilot(self) -> Pilot:
        return Pilot(
            self.settings, self.panda, self.catalogue, self.stop, lambda *said: self.said.append(said)
        )

    def do(self, job: dict[str, Any]) -> dict[str, Any]:
        """Have the job done; the last report."""
        self.panda.give_out(job)
        self.pilot.do(job)
        return self.panda.last

    def directories(self) -> list[str]:
        """Directories of jobs that are still there."""
        return [path.name for path in self.settings.parent.iterdir() if path.is_dir()]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(attempt, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(payload, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(payload, "WEIGH_SECONDS", 0.05)
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(patience, "GRACE_SECONDS", 0.2)
    return World(tmp_path)


def test_job_is_done_and_its_results_are_stored(world: World) -> None:
    report = world.do(described(command="cat hello.txt %IN > out.txt; echo said"))
    assert report["job_status"] == "finished"
    assert (report["job_id"], report["attempt_nr"], report["site_name"]) == (7, 1, SITE)
    assert set(output_report(report)) == {OUTPUT, LOG}
    replica = world.catalogue.known[OUTPUT]
    assert replica.path.read_bytes() == b"hello" + CONTENT
    assert (
        output_report(report)[OUTPUT].items()
        >= {
            "fsize": replica.size,
            "adler32": replica.adler32,
            "endpoint": [SITE],
        }.items()
    )
    assert [one["job_status"] for one in world.panda.reports][:1] == ["running"]
    assert world.directories() == []
    assert [said for said in world.said if said[0]] == [(7, None)]
    with tarfile.open(world.catalogue.known[LOG].path) as archive:
        names = {Path(name).name for name in archive.getnames()}
        stdout = archive.extractfile("tarball_PandaJob_7/payload.stdout")
        assert stdout is not None
        assert stdout.read() == b"said\n"
    assert names == {"payload.stdout", "payload.stderr", "job.json", "report.json"}


def test_payload_may_spoil_its_input(world: World) -> None:
    assert world.do(described(command="echo spoilt > %IN; cp %IN out.txt"))["job_status"] == "finished"
    assert world.input.read_bytes() == CONTENT


def test_payload_sees_no_login_and_finds_this_python(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUCIO_PASSWORD", "secret")
    world.do(described(command="env > out.txt; command -v python3 >> out.txt"))
    written = world.catalogue.known[OUTPUT].path.read_text()
    assert "secret" not in written
    assert "PandaID=7" in written
    assert written.splitlines()[-1] == str(Path(sys.executable).parent / "python3")


def test_job_without_input_or_log(world: World) -> None:
    job = described(inFiles="", scopeIn="NULL", outFiles=OUTPUT, logFile="", scopeLog="")
    job["jobPars"] = f"""-r . -o "{{'out.txt': '{OUTPUT}'}}" -p "{quote("echo a > out.txt")}" """
    assert set(output_report(world.do(job))) == {OUTPUT}


BAD_SANDBOX = {
    "outside": packed({"../outside.txt": b"x"}),
    "no archive": b"no archive",
}
HUGE = "head -c 3000000 /dev/zero > "
PYTHON_MEMORY = "python3 -c 'bytearray(400_000_000)'"


@pytest.mark.parametrize(
    ("command", "changes", "field", "code", "words"),
    [
        pytest.param(
            "echo no such thing >&2; exit 3", {}, "exe", 3, "exited with 3: no such thing", id="status"
        ),
        pytest.param("echo a > out.txt; exit 1", {}, "exe", 1, "exited with 1: it said nothing", id="silent"),
        pytest.param(
            "nonsense", {}, "exe", 127, "exited with 127: /bin/sh: 1: nonsense: not found", id="wrong"
        ),
        pytest.param("kill -SEGV $$", {}, "exe", 139, "was ended by SIGSEGV", id="signal"),
        pytest.param("sleep 100", {"maxWalltime": 1}, "pilot", Code.TIME, "did not end in 1 s", id="hangs"),
        pytest.param("true", {}, "pilot", Code.MISSING_OUTPUT, "output out.txt is missing", id="nothing"),
        pytest.param("touch out.txt", {}, "pilot", Code.MISSING_OUTPUT, "out.txt is empty", id="empty"),
        pytest.param("mkdir out.txt", {}, "pilot", Code.MISSING_OUTPUT, "out.txt is missing", id="directory"),
        pytest.param(
            "ln -s /etc/passwd out.txt", {}, "pilot", Code.MISSING_OUTPUT, "out.txt is missing", id="link"
        ),
        pytest.param(
            f"for n in 1 2 3 4; do {HUGE} $n; done; sleep 100",
            {"maxDiskCount": 5},
            "pilot",
            Code.TOO_MUCH_WRITTEN,
            "wrote too much: its directory has ",
            id="many files",
        ),
        pytest.param(
            f"{HUGE} 1; {HUGE} out.txt",
            {"maxDiskCount": 5},
            "pilot",
            Code.TOO_MUCH_WRITTEN,
            "allowed are 5 MB",
            id="much at the end",
        ),
        pytest.param(
            f"exec {HUGE} out.txt",
            {"maxDiskCount": 1},
            "pilot",
            Code.TOO_MUCH_WRITTEN,
            "1 MB",
            id="large file",
        ),
        pytest.param(
            PYTHON_MEMORY, {"minRamCount": 300}, "pilot", Code.OUT_OF_MEMORY, "than its 300 MB", id="memory"
        ),
    ],
)
def test_bad_payload_has_a_reason(
    world: World, command: str, changes: dict[str, Any], field: str, code: int, words: str
) -> None:
    report = world.do(described(command=command, **changes))
    assert report["job_status"] == "failed"
    assert report[f"{field}_error_code"] == code
    assert words in report[f"{field}_error_diag"]
    assert world.catalogue.outputs == set()
    assert world.catalogue.stored() == set()
    assert set(output_report(report)) == {LOG}
    assert world.directories() == []


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        pytest.param(
            lambda world, _: world.panda.sandboxes.clear(),
            Code.SANDBOX,
            "the sandbox is not there",
            id="sandbox",
        ),
        *(
            pytest.param(
                lambda world, _, content=content: world.panda.sandboxes.update({SANDBOX: content}),
                Code.SETUP,
                "the sandbox cannot be unpacked",
                id=f"sandbox {name}",
            )
            for name, content in BAD_SANDBOX.items()
        ),
        pytest.param(
            lambda world, _: world.catalogue.available.clear(),
            Code.STAGE_IN,
            f"{STF} has no available replica at {SITE}",
            id="no input",
        ),
        pytest.param(
            lambda world, _: world.input.write_bytes(b"an stf" * 100),
            Code.STAGE_IN,
            f"{STF} is damaged at {SITE}: adler32",
            id="damaged input",
        ),
        pytest.param(lambda world, _: world.input.unlink(), Code.STAGE_IN, "No such file", id="lost input"),
        pytest.param(
            lambda _, job: job.update(jobPars=job["jobPars"] + " --givenPFN"),
            Code.SETUP,
            "option --givenPFN of the transformation is not known",
            id="option",
        ),
        pytest.param(
            lambda _, job: job.update(jobPars=job["jobPars"] + " -r"), Code.SETUP, "-r of", id="value missing"
        ),
        pytest.param(
            lambda _, job: job.update(jobPars=job["jobPars"] + ' -i "open()"'),
            Code.SETUP,
            "-i of the transformation is no list of texts",
            id="expression",
        ),
        pytest.param(lambda _, job: job.update(jobPars='-r "'), Code.SETUP, "no command line", id="quotes"),
        pytest.param(
            lambda _, job: job.update(jobPars="-r ."), Code.SETUP, "no command to run", id="no command"
        ),
        pytest.param(
            lambda _, job: job.update(jobPars=job["jobPars"] + " -r ../.."),
            Code.SETUP,
            "is not within",
            id="out",
        ),
        pytest.param(
            lambda _, job: job.update(jobPars=job["jobPars"] + """ -o "{'out.txt': 'other'}" """),
            Code.SETUP,
            "other is none of the job's output files",
            id="output name",
        ),
    ],
)
def test_job_that_cannot_be_run_has_a_reason(
    world: World, spoil: Callable[[World, dict[str, Any]], object], code: Code, words: str
) -> None:
    job = described(command="echo a > out.txt")
    spoil(world, job)
    report = world.do(job)
    assert (report["job_status"], report["pilot_error_code"]) == ("failed", code)
    assert words in report["pilot_error_diag"]
    assert world.catalogue.outputs == set()
    assert not (world.settings.parent.parent / "outside.txt").exists()


def test_limits_of_the_installation_go_before_those_of_the_job(world: World) -> None:
    world.settings = replace(world.settings, wall_seconds=1)
    report = world.do(described(command="sleep 100"))
    assert report["pilot_error_code"] == Code.TIME


def test_nothing_of_a_payload_outlives_it(world: World, tmp_path: Path) -> None:
    world.do(described(command=f"PIDS={tmp_path}; {SLEEPER.removesuffix('wait')} echo a > out.txt"))
    assert world.panda.last["job_status"] == "finished"
    pids = [int((tmp_path / name).read_text()) for name in "ab"]
    poll(lambda: all(map(gone, pids)))


def test_killed_job_ends_at_once_and_leaves_nothing(world: World, tmp_path: Path) -> None:
    def kill(report: dict[str, Any]) -> None:
        if (tmp_path / "b").exists():
            world.panda.killed.add(7)

    world.panda.before_update = kill
    report = world.do(described(command=f"PIDS={tmp_path}; {SLEEPER}"))
    assert (report["job_status"], report["pilot_error_code"]) == ("failed", Code.KILLED)
    pids = [int((tmp_path / name).read_text()) for name in "ab"]
    poll(lambda: all(map(gone, pids)))
    assert world.catalogue.registrations == 0
    assert world.directories() == []


def test_job_that_is_killed_when_its_results_are_stored_takes_them_back(world: World) -> None:
    def kill() -> None:
        world.catalogue.after_register = None
        world.panda.states[7] = "cancelled"
        raise Away("the answer is lost")

    world.catalogue.after_register = kill
    world.do(described(command="echo a > out.txt; sleep 0.2"))
    assert world.catalogue.outputs == world.catalogue.stored() == set()


@pytest.mark.parametrize("state", ["failed", "cancelled", "closed"])
def test_outputs_of_a_job_that_was_given_up_meanwhile_are_withdrawn(world: World, state: str) -> None:
    world.catalogue.after_register = lambda: world.panda.states.update({7: state})
    world.do(described(command="echo a > out.txt"))
    assert world.catalogue.registrations == 1
    assert world.catalogue.outputs == set()
    assert world.catalogue.stored() == set()
    assert world.directories() == []


def test_outputs_of_another_attempt_do_not_count(world: World) -> None:
    world.catalogue.after_register = lambda: world.panda.attempts.update({7: 2})
    world.do(described(command="echo a > out.txt"))
    assert world.catalogue.outputs == set()


@pytest.mark.parametrize("state", ["holding", "finished", "not found"])
def test_report_whose_answer_was_lost_is_sent_again_and_its_outputs_stay(world: World, state: str) -> None:
    def lose(report: dict[str, Any]) -> None:
        if report["job_status"] == "finished":
            world.panda.after_update = None
            world.panda.states[7] = state
            raise Away("connection reset")

    world.panda.after_update = lose
    world.do(described(command="echo a > out.txt"))
    assert world.catalogue.outputs == world.catalogue.stored() == {OUTPUT}
    assert (7, "connection reset") in world.said


def test_panda_that_is_away_does_not_hold_up_a_payload(world: World) -> None:
    def leave(report: dict[str, Any]) -> None:
        world.panda.after_update = None
        world.panda.faults += ["away"] * 8

    world.panda.after_update = leave
    report = world.do(described(command="sleep 0.3; echo a > out.txt"))
    assert report["job_status"] == "finished"
    assert world.said.count((7, "away")) >= 1
    assert world.said[-1] == (None, None)
    assert world.catalogue.outputs == {OUTPUT}


def test_rucio_that_is_away_is_waited_for(world: World) -> None:
    world.catalogue.faults += [Away("Rucio is away")] * 3
    assert world.do(described(command="echo a > out.txt"))["job_status"] == "finished"
    assert (7, "Rucio is away") in world.said


def test_results_wait_for_rucio(world: World) -> None:
    away = f"touch {world.settings.parent}/away; echo a > out.txt"
    replicas = world.catalogue.replicas

    def then_away(files: Any) -> Any:
        found = replicas(files)
        world.catalogue.faults += [Away("Rucio is away")] * 3
        return found

    world.catalogue.replicas = then_away  # type: ignore[method-assign]
    assert world.do(described(command=away))["job_status"] == "finished"
    assert world.catalogue.outputs == {OUTPUT}


def test_input_is_not_waited_for_for_ever(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "INPUT_SECONDS", 0.05)
    world.catalogue.faults += [Away("Rucio is away")] * 100
    report = world.do(described())
    assert report["pilot_error_code"] == Code.STAGE_IN
    assert "Rucio is away" in report["pilot_error_diag"]


def test_results_that_rucio_refuses_are_taken_back(world: World) -> None:
    def refuse() -> None:
        world.catalogue.after_register = None
        raise Refused("InvalidObject: bytes")

    world.catalogue.after_register = refuse
    report = world.do(described(command="echo a > out.txt"))
    assert (report["job_status"], report["pilot_error_code"]) == ("failed", Code.STAGE_OUT)
    assert "InvalidObject" in report["pilot_error_diag"]
    assert world.catalogue.outputs == world.catalogue.stored() == set()


def test_pilot_that_is_to_end_lets_a_short_job_end(world: World) -> None:
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


def recover(world: World) -> None:
    """A new pilot comes, looks at what is left, and ends."""
    pilot = world.pilot
    pilot._acquire = lambda: world.stop.ask()  # type: ignore[method-assign]
    pilot.run()
    assert world.directories() == []


CHILD = """\
import sys
from pathlib import Path
from services.panda.pilot import attempt
from services.panda.pilot.pilot import Pilot
from tests.services.pilot.fakes import described
from tests.services.pilot.test_pilot_jobs import World

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


def test_pilot_takes_one_job_after_the_other_and_ends_when_asked(world: World) -> None:
    world.panda.queue += [described(number, "echo a > out.txt") for number in (8, 9)]

    def last(report: dict[str, Any]) -> None:
        if report["job_id"] == 9 and report["job_status"] == "finished":
            world.stop.ask()

    world.panda.after_update = last
    begin = time.monotonic()
    world.pilot.run()
    assert time.monotonic() - begin < 5
    assert [one["job_id"] for one in world.panda.reports if one["job_status"] == "finished"] == [8, 9]
