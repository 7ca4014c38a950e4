"""The submitter: one task per run and site, whatever is killed or repeated, and trouble that is seen."""

from __future__ import annotations

from itertools import pairwise

import pytest

from apps.agents.processing import submitter as module
from apps.agents.processing.submitter import prun_arguments
from apps.runs.errors import RetryableError
from apps.stf import selectors, services
from apps.stf.models import ProcessingSite, ProcessingTask
from tests.factories import kinds
from tests.processing import BNL, JLAB, task_of

from .conftest import Site

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def test_each_site_with_an_stf_gets_its_task_once(site: Site) -> None:
    run = site.run(3)
    site.turn(3)

    assert [task.name for task in site.panda.tasks.values()] == [
        f"user.swf.swf.{run.run_number}.{name}.processed/" for name in (BNL, JLAB)
    ]
    assert site.panda.calls.count("submit") == 2
    assert task_of(run).jedi_task_id == 1
    assert task_of(run).status == "running"


def test_killed_before_the_answer_was_noted_it_finds_the_task_that_panda_has(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise SystemExit

    run = site.run(1)
    site.registrar.step()
    site.allocator.step()
    with monkeypatch.context() as patched:
        patched.setattr(services, "mark_submitted", die)
        with pytest.raises(SystemExit):
            site.submitter.step()
    assert task_of(run).jedi_task_id is None
    site.submitter.step()

    assert (task_of(run).jedi_task_id, site.panda.calls.count("submit")) == (1, 1)
    assert kinds(run, "task_submitted") == ["task_submitted"]


def test_while_panda_is_away_the_task_waits_and_says_why(site: Site) -> None:
    run = site.run(1)
    site.registrar.step()
    site.allocator.step()
    site.panda.away = "connection refused"
    for _ in range(2):
        with pytest.raises(RetryableError, match="PanDA does not answer: connection refused"):
            site.submitter.step()
    assert task_of(run).reason == "PanDA does not answer: connection refused"
    assert kinds(run, "task_trouble") == ["task_trouble"]

    site.panda.away = ""
    site.submitter.step()
    assert (task_of(run).jedi_task_id, task_of(run).reason) == (1, "")


def test_a_task_that_is_refused_harms_no_other_and_is_tried_again_after_a_pause(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = site.run(1)
    site.registrar.step()
    site.allocator.step()
    site.panda.refused = "Token authentication failed"
    for _ in range(3):
        with pytest.raises(RetryableError, match="processed/: Token authentication failed"):
            site.submitter.step()
    assert site.panda.calls.count("submit") == 1
    assert selectors.unprocessed(run, last=1)[0].reason.endswith("processed/: Token authentication failed")

    site.panda.refused = ""
    other = site.run(1)
    site.registrar.step()
    site.allocator.step()
    with pytest.raises(RetryableError):
        site.submitter.step()
    assert task_of(other).jedi_task_id is not None
    monkeypatch.setattr(module.time, "monotonic", lambda: 1e9)
    site.submitter.step()
    assert task_of(run).jedi_task_id is not None


def test_a_brake_that_comes_while_prun_is_at_work_holds_the_task(site: Site) -> None:
    run = site.run(1)
    site.registrar.step()
    site.allocator.step()
    build = site.submitter._build

    def brake(arguments: list[str]) -> dict[str, object]:
        services.brake_on(None, by="ann", reason="stop")
        return build(arguments)

    site.submitter._build = brake
    site.submitter.step()
    assert site.panda.tasks == {}
    assert task_of(run).jedi_task_id is None


def test_prun_is_told_the_runs_parameters(site: Site) -> None:
    run = site.run(1, n_files_per_job=4, vo="epic", outputs=["a.txt", "b.txt"], payload="./p.sh %IN")
    site.registrar.step()
    ProcessingSite.objects.filter(name=BNL).update(panda_queue="BNL_PanDA_1")
    site.allocator.step()
    said = prun_arguments(ProcessingTask.objects.select_related("run__execution").get(run=run))

    given = dict(pairwise(said))
    assert given["--exec"] == "./p.sh %IN"
    assert given["--inDS"] == f"group.daq:run.{run.run_number}.E1_BNL"
    assert given["--outDS"] == f"user.swf.swf.{run.run_number}.E1_BNL.processed"
    assert (given["--site"], given["--nFilesPerJob"], given["--outputs"]) == (
        "BNL_PanDA_1",
        "4",
        "a.txt,b.txt",
    )
    assert (given["--vo"], given["--workingGroup"], given["--prodSourceLabel"]) == ("epic", "EIC", "test")
    assert (given["--memory"], given["--maxWalltime"], given["--maxAttempt"]) == ("2000", "3600", "3")
    assert said[-2:] == ["--noBuild", "--expertOnly_skipScout"]
