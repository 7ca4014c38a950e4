"""A pilot and its jobs: done well, or gone wrong in every way, with a reason."""

from __future__ import annotations

import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from services.panda.pilot.errors import Code
from tests.services.pilot.fakes import (
    SANDBOX,
    SITE,
    STF,
    described,
    output_report,
    packed,
)
from tests.services.pilot.world import CONTENT, LOG, OUTPUT, World


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


def test_pilot_takes_one_job_after_the_other_and_ends_when_asked(world: World) -> None:
    world.panda.queue += [described(number, "echo a > out.txt") for number in (8, 9)]

    def last(report: dict[str, Any]) -> None:
        if report["job_id"] == 9 and report["job_status"] == "finished":
            world.stop.ask()

    world.panda.after_update = last
    begin = time.monotonic()
    world.pilot.run()
    assert time.monotonic() - begin < 30  # no pause between them is near that
    assert [one["job_id"] for one in world.panda.reports if one["job_status"] == "finished"] == [8, 9]
