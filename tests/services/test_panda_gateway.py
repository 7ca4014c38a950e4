"""The gateway to PanDA and its fake behave alike: what the unit tests stand on is what a server does."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, cast

import pytest

from apps.agents.processing import panda as module
from apps.agents.processing.panda import Panda, RefusedByPanda
from apps.agents.processing.prun import build_parameters
from apps.runs.errors import RetryableError
from services.base import Engine
from services.rucio.settings import SCOPE
from tests.fakes.panda import FakePanda
from tests.panda.world import Pilot, Run, client_of_rucio, pilot, poll

QUEUE = "E1_BNL"


class Dataset(Protocol):
    """A run's input dataset in Rucio."""

    name: str

    def files(self, count: int) -> list[str]: ...
    def add(self, names: list[str]) -> list[str]: ...
    def attach(self, names: list[str]) -> None: ...
    def detach(self, names: list[str]) -> None: ...
    def close(self) -> None: ...
    def reopen(self) -> None: ...


class FakeDataset:
    """The same in memory."""

    name = "fake"

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.is_open = True

    def files(self, count: int) -> list[str]:
        return [f"swf.fake.{number}.stf" for number in range(count)]

    def add(self, names: list[str]) -> list[str]:
        self.attach(names)
        return names

    def attach(self, names: list[str]) -> None:
        self.names |= set(names)

    def detach(self, names: list[str]) -> None:
        self.names -= set(names)

    def close(self) -> None:
        self.is_open = False

    def reopen(self) -> None:
        self.is_open = True


class Bench:
    """One gateway, an input dataset that is new, a pilot, and waiting."""

    def __init__(self, gateway: Panda, dataset: Dataset, tick: Callable[[], object]) -> None:
        self.gateway, self.dataset, self._tick = gateway, dataset, tick
        self.task = 0

    def parameters(self, **changes: Any) -> dict[str, Any]:
        if isinstance(self.gateway, FakePanda):
            common = {"taskName": "user.swf.fake/", "dsForIN": f"{SCOPE}:fake", "prodSourceLabel": "test"}
            return common | changes
        given = cast("Run", self.dataset).parameters(prodSourceLabel="test", maxAttempt=2)
        return given | changes

    def submit(self) -> None:
        self.task = self.gateway.submit(self.parameters())

    def wait(self, reached: Callable[[], Any]) -> Any:
        def look() -> Any:
            self._tick()
            return reached()

        return poll(look, lambda: (self.status(), self.gateway.input_states(self.task)))

    def status(self) -> str:
        since = datetime.now(UTC) - timedelta(hours=1)
        found = {task.jedi_task_id: task.status for task in self.gateway.changed_tasks(since, "test")}
        return found.get(self.task, "")

    def states(self) -> list[str]:
        return sorted(job.status for job in self.jobs())

    def jobs(self) -> list[module.JobFacts]:
        return self.gateway.jobs(self.gateway.job_ids(self.task) or []) if self.task else []

    def finish_one(self) -> None:
        """A pilot finishes a job."""
        if isinstance(self.gateway, FakePanda):
            self.gateway.set_job(self.gateway.open_jobs()[0].panda_id, "finished")
            return
        one = Pilot(self.pilot_api, self.rucio, self.task)
        one.finish(one.wait_for_job())

    def fail_one(self) -> None:
        """A pilot reports that the payload has failed."""
        if isinstance(self.gateway, FakePanda):
            self.gateway.set_job(self.gateway.open_jobs()[0].panda_id, "failed", "no hits (exe error 65)")
            return
        one = Pilot(self.pilot_api, self.rucio, self.task)
        job = one.wait_for_job()
        one.say(job, "running")
        one.say(job, "failed", exe_error_code=65, exe_error_diag="no hits")

    pilot_api: Any = None
    rucio: Any = None


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.services)])
def bench(request: pytest.FixtureRequest) -> Bench:
    """The fake, or the gateway to a running server."""
    if request.param == "fake":
        dataset = FakeDataset()
        fake = FakePanda(lambda _: dataset.names, lambda _: dataset.is_open, max_attempt=2)
        return Bench(cast("Panda", fake), dataset, fake.tick)
    engine: Engine = request.getfixturevalue("panda")
    rucio = client_of_rucio(request.getfixturevalue("rucio"))
    assert os.environ["PANDA_URL"] == engine.environment()["PANDA_URL"]  # read when the client was imported
    made = Bench(Panda(), Run(rucio, site=QUEUE), lambda: None)
    made.pilot_api, made.rucio = pilot(engine), rucio
    return made


def test_a_task_is_made_once_and_listed_by_its_name(bench: Bench) -> None:
    bench.submit()
    assert bench.gateway.submit(bench.parameters()) == bench.task

    bench.wait(bench.status)
    since = datetime.now(UTC) - timedelta(hours=1)
    found = [one for one in bench.gateway.changed_tasks(since, "test") if one.jedi_task_id == bench.task]
    assert [one.task_name for one in found] == [bench.parameters()["taskName"]]
    assert bench.gateway.why(bench.task) == ""


def test_a_job_per_stf_finishes_with_its_outputs_and_the_task_with_its_dataset(bench: Bench) -> None:
    names = bench.dataset.add(bench.dataset.files(2))
    bench.submit()
    bench.wait(lambda: bench.states() == ["activated", "activated"])
    assert sorted(f.name for job in bench.jobs() for f in job.files if f.kind == "input") == names
    for _ in names:
        bench.finish_one()
    bench.wait(lambda: bench.states() == ["finished", "finished"])
    for job in bench.jobs():
        [output] = [file for file in job.files if file.kind == "output"]
        assert output.scope == "user.swf"
        assert output.size_bytes > 0
        assert len(output.checksum) == 8
        assert output.dataset
    assert bench.gateway.input_states(bench.task) == dict.fromkeys(names, "finished")

    bench.dataset.close()
    bench.wait(lambda: bench.status() == "done")


def test_an_stf_that_is_taken_out_is_missing_and_its_job_can_be_killed_until_it_is_back(bench: Bench) -> None:
    [name] = bench.dataset.add(bench.dataset.files(1))
    bench.submit()
    bench.wait(lambda: bench.states() == ["activated"])
    bench.dataset.detach([name])
    bench.wait(lambda: bench.gateway.input_states(bench.task) == {name: "missing"})
    bench.gateway.kill_jobs([job.panda_id for job in bench.jobs()])
    bench.wait(lambda: bench.states() == ["cancelled"])
    assert bench.gateway.input_states(bench.task) == {name: "missing"}

    bench.dataset.attach([name])
    bench.wait(lambda: bench.states() == ["activated", "cancelled"])
    bench.finish_one()
    bench.wait(lambda: bench.gateway.input_states(bench.task) == {name: "finished"})


def test_a_failing_stf_is_given_up_with_its_reason_and_retried_when_the_task_has_ended(bench: Bench) -> None:
    [name] = bench.dataset.add(bench.dataset.files(1))
    bench.submit()
    for attempts in (1, 2):
        bench.wait(lambda: "activated" in bench.states())
        bench.fail_one()
        bench.wait(lambda n=attempts: bench.states().count("failed") == n)  # type: ignore[misc]
    bench.wait(lambda: bench.gateway.input_states(bench.task) == {name: "failed"})
    assert {(job.attempt_nr, job.reason) for job in bench.jobs()} == {
        (1, "no hits (exe error 65)"),
        (2, "no hits (exe error 65)"),
    }
    with pytest.raises(RefusedByPanda, match="not accepted if the task is in"):
        bench.gateway.retry_task(bench.task)

    bench.dataset.close()
    bench.wait(lambda: bench.status() == "failed")
    bench.gateway.retry_task(bench.task)
    bench.wait(lambda: "activated" in bench.states())
    bench.finish_one()
    bench.wait(lambda: bench.status() == "done")


def test_an_ended_task_looks_at_its_input_again_when_it_is_told(bench: Bench) -> None:
    first, second = bench.dataset.files(2)
    bench.dataset.add([first])
    bench.submit()
    bench.wait(lambda: bench.states() == ["activated"])
    with pytest.raises(RefusedByPanda, match="not accepted if the task is in"):
        bench.gateway.reload_input(bench.task)
    bench.finish_one()
    bench.dataset.close()
    bench.wait(lambda: bench.status() == "done")
    bench.dataset.reopen()
    bench.dataset.add([second])
    bench.gateway.reload_input(bench.task)
    bench.wait(lambda: "activated" in bench.states())
    bench.finish_one()
    bench.dataset.close()
    bench.wait(lambda: bench.status() == "done")


@pytest.mark.parametrize(("command", "status"), [("kill_task", "aborted"), ("finish_task", "finished")])
def test_a_task_is_ended_when_it_is_told_and_only_once(bench: Bench, command: str, status: str) -> None:
    bench.dataset.add(bench.dataset.files(2))
    bench.submit()
    bench.wait(lambda: bench.states() == ["activated", "activated"])
    bench.finish_one()
    bench.wait(lambda: "finished" in bench.states())
    assert "is registered for task ID" in getattr(bench.gateway, command)(bench.task)
    bench.wait(lambda: bench.status() == status)
    with pytest.raises(RefusedByPanda, match="Command rejected"):
        getattr(bench.gateway, command)(bench.task)


@pytest.mark.services
def test_a_task_that_panda_does_not_know_has_no_jobs_yet(panda: Engine) -> None:
    assert Panda().job_ids(999_999_999) in (None, [])
    with pytest.raises(RefusedByPanda):
        Panda().kill_task(999_999_999)


@pytest.mark.services
def test_prun_makes_the_parameters_of_a_task_and_brings_the_sandbox(panda: Engine) -> None:
    arguments = ["--exec", "python3 -m payloads.stf_summary %IN", "--inDS", "group.daq:run.1.E1_BNL"]
    arguments += ["--outDS", "user.swf.swf.1.E1_BNL.processed", "--outputs", "stf.root,stf.json"]
    arguments += [
        "--site",
        QUEUE,
        "--nFilesPerJob",
        "1",
        "--noBuild",
        "--expertOnly_skipScout",
        "--vo",
        "wlcg",
    ]
    here = Path.cwd()
    made = build_parameters([*arguments, "--maxAttempt", "3", "--prodSourceLabel", "test"])

    assert Path.cwd() == here
    assert (made["taskName"], made["uniqueTaskName"]) == ("user.swf.swf.1.E1_BNL.processed/", True)
    assert (made["dsForIN"], made["nFilesPerJob"], made["maxAttempt"]) == ("group.daq:run.1.E1_BNL", 1, 3)
    assert any("-a jobO." in str(one.get("value")) for one in made["jobParameters"])


@pytest.mark.services
def test_what_prun_does_not_take_is_refused_with_its_words(panda: Engine) -> None:
    with pytest.raises(RefusedByPanda, match="prun ended with"):
        build_parameters(["--exec", "x", "--outDS", "group.notmine.processed", "--noBuild", "--outputs", "a"])


@pytest.mark.services
def test_a_token_that_is_refused_is_said_so(panda: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANDA_AUTH_ID_TOKEN", "not.a.token")
    with pytest.raises(RefusedByPanda, match=r"[Tt]oken"):
        Panda().submit({"taskName": "x"})
    with pytest.raises(RefusedByPanda):
        build_parameters(["--exec", "x", "--outDS", "user.swf.x", "--noBuild", "--outputs", "a"])


def test_without_a_token_nobody_is_asked_to_log_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PANDA_AUTH", "oidc")
    monkeypatch.setenv("PANDA_AUTH_VO", "EIC")
    monkeypatch.setenv("OIDC_AUTH_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(RetryableError, match="PanDA's token cannot be read"):
        Panda().job_ids(1)
    monkeypatch.delenv("OIDC_AUTH_TOKEN_FILE")
    with pytest.raises(RetryableError, match="there is no token for PanDA"):
        Panda().job_ids(1)


def test_a_panda_that_is_not_there_is_said_to_be_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.Client, "server_base_path_ssl", "http://127.0.0.1:1/api/v1")
    monkeypatch.setenv("PANDA_AUTH", "oidc")
    monkeypatch.setenv("PANDA_AUTH_VO", "EIC")
    monkeypatch.setenv("PANDA_AUTH_ID_TOKEN", "a.b.c")
    with pytest.raises(RetryableError, match="PanDA does not answer: "):
        Panda().job_ids(1)
