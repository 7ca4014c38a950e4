"""Workers as PanDA jobs: as many as are wanted, whatever is killed or refused, and none for a run that is through."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.processing import workers as module
from apps.agents.processing.workers import WorkerJobs, prun_arguments
from apps.runs.errors import RetryableError
from apps.runs.models import Run
from apps.stf import selectors, services
from apps.stf.models import FastRun, ProcessingSite, WorkerTask
from tests.factories import SITES, a_running_run, kinds
from tests.fakes.panda import FakePanda

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def parameters(arguments: list[str]) -> dict[str, Any]:
    """What prun makes of its arguments; the fake server's jobs follow a dataset, here one that is named by their number."""
    given = dict(pairwise(arguments))
    return {
        "taskName": f"{given['--outDS']}/",
        "dsForIN": f"none:{given['--nJobs']}",
        "prodSourceLabel": given["--prodSourceLabel"],
    }


class Pool:
    """The loop, its PanDA, and a run that wants workers."""

    def __init__(self) -> None:
        self.panda = FakePanda(
            lambda name: [str(n) for n in range(int(name))], lambda name: False, max_attempt=1
        )
        self.loop = WorkerJobs(self.panda, parameters)  # type: ignore[arg-type]
        self.run: Run = a_running_run(workers="panda", target_worker_count=10)
        services.ensure_fast_run(self.run)

    def want(self, count: int) -> None:
        FastRun.objects.filter(run=self.run).update(wanted_worker_count=count)

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.loop.step()
            self.panda.tick()

    def names(self) -> list[str]:
        return [task.name for task in self.panda.tasks.values()]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)
    return Pool()


def test_a_task_has_the_workers_that_are_missing_and_no_more_are_asked_for(pool: Pool) -> None:
    pool.want(3)
    pool.turn(3)

    assert pool.names() == [f"user.swf.swf.{pool.run}.workers.1/"]
    assert len(pool.panda.open_jobs()) == selectors.open_worker_jobs(pool.run) == 3
    pool.want(5)
    pool.turn(3)
    assert [task.jobs for task in WorkerTask.objects.all()] == [3, 2]
    pool.want(1)
    pool.turn(3)
    assert len(pool.panda.open_jobs()) == 5


def test_workers_that_ended_are_replaced_while_they_are_wanted(pool: Pool) -> None:
    pool.want(2)
    pool.turn(2)
    first, _ = pool.panda.open_jobs()
    pool.panda.set_job(first.panda_id, "failed", "the node broke down")
    pool.turn(3)

    assert [task.jobs for task in WorkerTask.objects.all()] == [2, 1]
    assert len(pool.panda.open_jobs()) == 2


def test_a_task_ends_with_its_last_worker_and_says_why_one_failed(pool: Pool) -> None:
    pool.want(2)
    pool.turn(2)
    pool.want(0)
    first, second = pool.panda.open_jobs()
    pool.panda.set_job(first.panda_id, "failed", "the node broke down")
    pool.panda.set_job(second.panda_id, "finished")
    pool.turn(2)

    [task] = WorkerTask.objects.all()
    assert (task.open_jobs, task.reason) == (0, "the node broke down")
    assert task.ended_at
    assert kinds(pool.run)[-3:] == ["worker_task_made", "worker_task_submitted", "worker_task_ended"]


def test_killed_before_the_answer_was_noted_it_finds_the_task_that_panda_has(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise SystemExit

    pool.want(2)
    with monkeypatch.context() as patched:
        patched.setattr(services, "mark_submitted", die)
        with pytest.raises(SystemExit):
            pool.turn()
    pool.turn(2)

    assert pool.panda.calls.count("submit") == 1
    assert WorkerTask.objects.get().jedi_task_id == 1


def test_a_panda_that_is_away_or_refuses_is_a_reason_and_tried_again(pool: Pool) -> None:
    pool.want(1)
    pool.panda.refused = "no such queue"
    with pytest.raises(RetryableError, match="no such queue"):
        pool.turn()
    assert WorkerTask.objects.get().reason == "no such queue"
    pool.panda.refused, pool.panda.away = "", "connection refused"
    with pytest.raises(RetryableError, match="connection refused"):
        pool.turn()
    pool.panda.away = ""
    pool.turn(2)

    assert len(pool.panda.open_jobs()) == WorkerTask.objects.count() == 1


def test_workers_of_a_run_that_is_through_leave_or_are_ended(pool: Pool) -> None:
    pool.want(2)
    pool.turn(2)
    FastRun.objects.update(drained_at=timezone.now(), wanted_worker_count=0)
    pool.turn(2)
    assert len(pool.panda.open_jobs()) == 2
    FastRun.objects.update(drained_at=timezone.now() - timedelta(seconds=61))
    pool.turn(3)

    assert pool.panda.open_jobs() == []
    assert WorkerTask.objects.get().ended_at


def test_a_task_that_panda_was_never_given_ends_with_its_run(pool: Pool) -> None:
    pool.want(1)
    pool.panda.refused = "not now"
    with pytest.raises(RetryableError):
        pool.turn()
    FastRun.objects.update(drained_at=timezone.now(), wanted_worker_count=0)
    pool.turn()

    assert "PanDA does not know the task" in WorkerTask.objects.get().reason
    assert pool.panda.tasks == {}


def test_sites_take_turns_and_one_that_is_down_gets_none(pool: Pool) -> None:
    for count in (1, 2, 3):
        pool.want(count)
        pool.turn()
    assert [task.site for task in WorkerTask.objects.all()] == [*SITES, SITES[0]]
    for name in SITES:
        ProcessingSite.objects.update_or_create(name=name, defaults={"panda_queue": name})
        services.site_down(name, by="tester", reason="power")
    pool.want(4)
    with pytest.raises(RetryableError, match="no site is up"):
        pool.turn()


def test_runs_whose_workers_others_start_have_no_tasks(pool: Pool) -> None:
    other = a_running_run(workers="local")
    services.ensure_fast_run(other)
    FastRun.objects.filter(run=other).update(wanted_worker_count=2)
    pool.turn(2)

    assert WorkerTask.objects.count() == 0


def test_prun_is_told_to_run_a_worker_without_input(pool: Pool, settings: Any) -> None:
    pool.want(4)
    pool.turn()
    task = WorkerTask.objects.get()
    given = dict(pairwise(prun_arguments(task)))
    assert (given["--nJobs"], given["--maxAttempt"], given["--site"]) == ("4", "1", SITES[0])
    assert "--inDS" not in given
    assert given["--exec"].endswith("swf-testbed worker --idle-timeout 120")
    settings.SWF_WORKER_COMMAND = ". /cvmfs/setup.sh; swf-testbed worker"
    given = dict(pairwise(prun_arguments(task)))
    assert given["--exec"] == ". /cvmfs/setup.sh; swf-testbed worker --idle-timeout 120"
