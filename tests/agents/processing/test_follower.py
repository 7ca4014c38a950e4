"""The follower: what PanDA says of tasks and jobs arrives once, and no STF is forgotten."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.agents.processing import jobs as module
from apps.runs.errors import RetryableError
from apps.stf import selectors, services
from apps.stf.choices import TaskCommand
from apps.stf.models import ProcessingOutput, ProcessingTask
from tests.factories import an_stf, ended, kinds
from tests.processing import BNL, JLAB, states, task_of

from .conftest import Site

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def later(task: ProcessingTask) -> None:
    """So much later that pauses are over."""
    past = timezone.now() - timedelta(hours=1)
    ProcessingTask.objects.filter(pk=task.pk, reload_at__isnull=False).update(reload_at=past)
    ProcessingTask.objects.filter(pk=task.pk, command_done_at__isnull=False).update(command_done_at=past)


def test_a_run_is_processed_to_its_end(site: Site) -> None:
    run = site.run(4)
    ended(run, count=4)
    site.turn()
    assert {state for _, _, state in states(run)} == {"queued"}
    site.work("running")
    site.turn()
    assert {state for _, _, state in states(run)} == {"running"}
    site.work()
    site.turn(2)

    assert states(run) == [(1, BNL, "done"), (2, JLAB, "done"), (3, BNL, "done"), (4, JLAB, "done")]
    assert [task_of(run, name).status for name in (BNL, JLAB)] == ["done", "done"]
    assert ProcessingOutput.objects.count() == 4
    assert kinds(run, "stf_processed") == ["stf_processed"] * 4
    assert selectors.tasks_to_follow() == []


def test_only_new_and_open_jobs_are_asked_for(site: Site) -> None:
    run = site.run(3)
    site.turn()
    site.work()
    site.turn()
    asked = site.panda.calls.count("jobs")
    site.turn(3)
    assert site.panda.calls.count("jobs") == asked
    an_stf(run, 5)
    site.turn()
    assert site.panda.calls.count("jobs") == asked + 1


def test_a_failing_stf_is_tried_by_panda_then_given_up_and_retried_by_a_person(site: Site) -> None:
    run = site.run(1)
    ended(run, count=1)
    for _ in range(3):
        site.turn()
        site.work("failed", "no hits (exe error 65)")
    site.turn()
    [(_, _, state)] = states(run)
    assert state == "failed"
    [left] = selectors.unprocessed(run, last=1)
    assert left.reason == "PanDA has given up after 3 failed jobs: no hits (exe error 65)"
    site.turn()
    assert task_of(run).status == "failed"

    services.retry_failed(run, by="ann")
    site.turn(2)
    assert states(run) == [(1, BNL, "queued")]
    site.work()
    site.turn(2)
    assert states(run) == [(1, BNL, "done")]
    assert task_of(run).status == "done"


def test_a_retry_waits_until_panda_has_ended_the_task(site: Site) -> None:
    run = site.run(1)
    for _ in range(3):
        site.turn()
        site.work("failed", "no hits")
    site.turn()
    services.retry_failed(run, by="ann")
    site.turn()
    assert states(run) == [(1, BNL, "waiting")]
    assert task_of(run).command_outcome == "waits until PanDA has ended the task, which is running"

    ended(run, count=1)
    site.turn(3)
    assert task_of(run).command_outcome.startswith("command=retry is registered")
    assert states(run) == [(1, BNL, "queued")]


def test_a_late_stf_makes_an_ended_task_look_at_its_input_again(site: Site) -> None:
    run = site.run(1)
    ended(run, count=1)
    site.turn()
    site.work()
    site.turn(2)
    assert task_of(run).status == "done"
    ended(run, count=3)
    an_stf(run, 3)
    site.turn()
    assert site.panda.calls.count("reload_input") == 1
    site.turn()
    site.work()
    site.turn(2)

    assert states(run) == [(1, BNL, "done"), (3, BNL, "done")]
    assert task_of(run).reloads == 0


def test_reloads_are_few_and_then_the_stf_has_failed_with_the_reason(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = site.run(1)
    ended(run, count=1)
    site.turn()
    site.work()
    site.turn(2)
    ended(run, count=3)
    an_stf(run, 3)
    monkeypatch.setattr(site.panda, "tick", lambda: None)
    monkeypatch.setattr(site.panda, "reload_input", lambda _: site.panda.calls.append("reload_input"))
    for _ in range(9):
        site.turn(2)
        later(task_of(run))

    assert site.panda.calls.count("reload_input") == services.MOST_RELOADS
    assert states(run)[1] == (3, BNL, "failed")
    why = [one.reason for one in selectors.unprocessed(run, last=3) if one.sequence == 3]
    assert why == ["PanDA has made no job of it, though task 1 was told of it 5 times"]


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        (TaskCommand.KILL, "aborted", "task 1 is aborted, by a kill of ann: wrong payload"),
        (TaskCommand.FINISH, "finished", "task 1 has ended, by a finish of ann: wrong payload"),
    ],
)
def test_what_a_person_has_ended_is_not_begun_again_by_itself(
    site: Site, command: TaskCommand, status: str, words: str
) -> None:
    run = site.run(1)
    site.turn()
    services.request_command(run.run_number, BNL, command, by="ann", reason="wrong payload")
    site.turn(3)
    assert task_of(run).status == status
    assert [one.reason for one in selectors.unprocessed(run, last=1)] == [words]
    an_stf(run, 3)
    site.turn(2)
    assert states(run) == [(1, BNL, "failed"), (3, BNL, "failed")]
    assert site.panda.calls.count("reload_input") == 0

    services.retry_failed(run, by="bob")
    site.turn(2)
    assert states(run) == [(1, BNL, "queued"), (3, BNL, "queued")]


def test_a_kill_that_panda_refuses_ends_nothing(site: Site) -> None:
    run = site.run(1)
    ended(run, count=1)
    site.turn()
    site.work()
    site.turn(2)
    services.request_command(run.run_number, BNL, TaskCommand.KILL, by="ann")
    site.turn()
    assert "not accepted if the task is in done status" in task_of(run).command_outcome
    ended(run, count=3)
    an_stf(run, 3)
    site.turn(2)
    assert states(run)[1] == (3, BNL, "queued")


def test_a_broken_task_is_named_at_each_of_its_stfs(site: Site) -> None:
    run = site.run(1)
    site.turn()
    task = site.panda.tasks[1]
    task.status, task.error = "broken", "no such queue"
    site.turn()

    assert states(run)[0][2] == "queued"
    site.work("failed")
    site.turn()
    assert [one.reason for one in selectors.unprocessed(run, last=1)] == ["task 1 is broken: no such queue"]
    services.retry_failed(run, by="ann")
    site.turn(2)
    assert "PanDA refuses: Command rejected" in task_of(run).command_outcome
    later(task_of(run))
    site.turn()
    assert states(run) == [(1, BNL, "failed")]


def test_a_task_that_panda_has_not_taken_up_yet_is_waited_for_and_then_named(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = site.run(1)
    site.turn()
    site.panda.tasks.clear()
    site.panda.jobs_by_id.clear()
    monkeypatch.setattr(site.panda, "input_states", lambda _: {})
    ProcessingTask.objects.update(status="waiting")
    site.follower.step()
    assert task_of(run).reason == ""
    monkeypatch.setattr(module, "UNKNOWN_FOR", timedelta(0))
    site.follower.step()
    assert task_of(run).reason.startswith("PanDA does not know task 1, which it was given at")


def test_while_panda_is_away_it_waits_and_archiving_goes_on(site: Site) -> None:
    run = site.run(2)
    site.turn()
    site.panda.away = "connection refused"
    services.request_command(run.run_number, BNL, TaskCommand.KILL, by="ann")
    an_stf(run, 3)
    for step in (site.follower.step, site.commands.step):
        with pytest.raises(RetryableError, match="PanDA does not answer: connection refused"):
            step()
    site.registrar.step()
    site.allocator.step()
    assert run.stf_files.filter(registration="registered").count() == 3
    assert task_of(run).command_outcome == "PanDA does not answer: connection refused"
