"""Processing: what PanDA says of tasks and jobs becomes the state of STFs, once and for all when one is processed."""

from __future__ import annotations

import pytest

from apps.runs.errors import DomainError, NotFound
from apps.runs.selectors import run_list
from apps.stf import selectors, services
from apps.stf.choices import TaskCommand
from apps.stf.models import ProcessingOutput
from apps.stf.services import TaskReport
from tests.factories import ended, kinds
from tests.processing import (
    BNL,
    JLAB,
    a_processed_run,
    an_output,
    attach,
    clear,
    detach,
    job,
    process,
    processing_of,
    states,
    submit,
    task_of,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def state_of(run: object, sequence: int = 1) -> str:
    return processing_of(run, sequence).state  # type: ignore[arg-type]


def test_a_task_per_site_is_submitted_when_its_first_stf_is_attached() -> None:
    run = a_processed_run()
    assert selectors.tasks_to_submit() == []
    attach()
    submit()

    assert selectors.tasks_to_submit() == []
    assert task_of(run).task_name == f"user.swf.swf.{run.run_number}.E1_BNL.processed/"
    assert task_of(run, JLAB).input_dataset == f"group.daq:run.{run.run_number}.E1_JLAB"
    assert kinds(run, "input_opened", "task_submitted") == ["input_opened"] * 2 + ["task_submitted"] * 2


def test_a_second_submission_keeps_the_first_id() -> None:
    run = a_processed_run()
    attach()
    assert services.begin_submission(task_of(run)) is False
    assert services.begin_submission(task_of(run)) is True
    assert services.mark_submitted(task_of(run), 7)
    assert not services.mark_submitted(task_of(run), 8)

    assert task_of(run).jedi_task_id == 7


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("defined", "queued"),
        ("activated", "queued"),
        ("sent", "running"),
        ("running", "running"),
        ("holding", "running"),
        ("finished", "done"),
        ("failed", "waiting"),
        ("cancelled", "waiting"),
        ("closed", "waiting"),
    ],
)
def test_the_state_of_an_stf_is_that_of_its_job(status: str, state: str) -> None:
    run = a_processed_run()
    attach()
    panda_id = job(run, 1)
    job(run, 1, panda_id=panda_id, status=status)

    assert state_of(run) == state


def test_a_failed_job_leaves_its_reason_until_the_stf_is_processed() -> None:
    run = a_processed_run()
    attach()
    panda_id = job(run, 1, status="running")
    job(run, 1, panda_id=panda_id, status="failed", reason="exe 1: out of memory")
    assert (processing_of(run).reason, processing_of(run).attempts) == ("exe 1: out of memory", 1)
    assert run.journal.get(kind="job_failed").payload["reason"] == "exe 1: out of memory"

    job(run, 1)
    assert (state_of(run), processing_of(run).reason) == ("queued", "exe 1: out of memory")
    process(run, [1])
    assert (state_of(run), processing_of(run).reason, processing_of(run).attempts) == ("done", "", 1)


def test_what_has_ended_never_changes_and_says_nothing_twice() -> None:
    run = a_processed_run()
    attach()
    panda_id = job(run, 1, status="finished", outputs=(an_output("a.root"),))
    for status in ("running", "failed", "finished"):
        job(run, 1, panda_id=panda_id, status=status, outputs=(an_output("b.root"),))
    job(run, 1, status="failed", reason="too late")

    assert state_of(run) == "done"
    assert kinds(run, "stf_processed") == ["stf_processed"]
    assert [output.name for output in ProcessingOutput.objects.all()] == ["a.root"]


def test_of_two_jobs_that_finish_the_first_counts() -> None:
    run = a_processed_run()
    attach()
    process(run, [1])
    job(run, 1, status="finished", outputs=(an_output("again.root"),))

    assert ProcessingOutput.objects.filter(job__task__run=run).count() == 1
    assert kinds(run, "stf_processed") == ["stf_processed"]


def test_a_job_may_read_several_stfs() -> None:
    run = a_processed_run(4)
    attach()
    panda_id = job(run, 1, 3)
    job(run, 1, 3, panda_id=panda_id, status="finished", outputs=(an_output("both.root"),))

    assert [state for _, site, state in states(run) if site == BNL] == ["done", "done"]
    said = run.journal.filter(kind="stf_processed").order_by("id")
    assert [entry.payload["sequence"] for entry in said] == [1, 3]
    assert {entry.payload["outputs"][0]["did"] for entry in said} == {"user.swf:both.root"}


def test_an_stf_that_panda_gives_up_fails_with_the_reason_until_it_is_retried() -> None:
    run = a_processed_run()
    attach()
    submit()
    job(run, 1, status="failed", reason="exe 1: no")
    [stuck] = selectors.stuck_processings(task_of(run))
    assert services.give_up(task_of(run), {stuck.pk: "PanDA has tried 3 times: exe 1: no"}) == 1
    assert (state_of(run), processing_of(run).reason) == ("failed", "PanDA has tried 3 times: exe 1: no")
    assert run.journal.get(kind="processing_failed").payload["site"] == BNL

    assert services.retry_failed(run, by="ann") == 1
    assert state_of(run) == "waiting"
    assert (task_of(run).command, task_of(run).has_command) == ("retry", True)
    assert services.give_up(task_of(run), {stuck.pk: "no"}) == 0
    services.finish_command(task_of(run), "accepted")
    assert task_of(run).command_outcome == "accepted"
    job(run, 1)
    assert state_of(run) == "queued"


def test_a_late_job_processes_even_what_has_failed() -> None:
    run = a_processed_run()
    attach()
    services.give_up(task_of(run), {processing_of(run).pk: "task broken"})
    process(run, [1])

    assert state_of(run) == "done"


def test_an_end_of_a_task_and_its_reason_are_told_once() -> None:
    run = a_processed_run()
    attach()
    submit()
    jedi = task_of(run).jedi_task_id or 0
    for status, reason in [("running", ""), ("ready", ""), ("pending", "no site"), ("broken", "no site")] * 2:
        services.apply_task_reports([TaskReport(jedi, status, reason), TaskReport(77, "done")])

    assert (task_of(run).status, task_of(run).reason) == ("broken", "no site")
    said = [entry.payload["status"] for entry in run.journal.filter(kind="task_status").order_by("id")]
    assert said == ["pending", "broken", "running", "pending", "broken"]


def test_a_command_waits_for_the_agent_and_keeps_name_and_outcome() -> None:
    run = a_processed_run()
    attach()
    submit()
    services.request_command(run.run_number, BNL, TaskCommand.KILL, by="ann", reason="wrong payload")
    [task] = selectors.tasks_to_command()
    services.postpone_command(task, "PanDA does not answer")
    services.request_command(run.run_number, BNL, TaskCommand.FINISH, by="bob")
    services.finish_command(task, "killed")
    assert [(one.command, one.command_outcome) for one in selectors.tasks_to_command()] == [("finish", "")]

    services.finish_command(task_of(run), "registered")
    assert selectors.tasks_to_command() == []
    assert run.journal.get(kind="task_commanded").payload["by"] == "bob"
    assert [entry.actor for entry in run.journal.filter(kind="task_command").order_by("id")] == ["ann", "bob"]


def test_commands_that_cannot_be_are_refused() -> None:
    run = a_processed_run()
    with pytest.raises(NotFound, match="has no task at E1_BNL"):
        services.request_command(run.run_number, BNL, TaskCommand.KILL, by="ann")
    attach()
    with pytest.raises(DomainError, match="is not submitted yet"):
        services.request_command(run.run_number, BNL, TaskCommand.KILL, by="ann")
    with pytest.raises(DomainError, match="there is no command 'stop'; there are kill, finish, retry"):
        services.request_command(run.run_number, BNL, "stop", by="ann")  # type: ignore[arg-type]


def test_trouble_with_a_submission_is_told_once_and_goes_with_it() -> None:
    run = a_processed_run()
    attach()
    for _ in range(3):
        services.note_trouble(task_of(run), "PanDA refuses the token")
    assert kinds(run, "task_trouble") == ["task_trouble"]
    [first, _] = selectors.unprocessed(run, last=2)
    assert first.reason.endswith(": PanDA refuses the token")

    submit()
    assert task_of(run).reason == ""


def test_inputs_are_closed_when_all_is_processed_or_has_failed() -> None:
    run = a_processed_run()
    attach()
    job(run, 1, status="finished")
    assert selectors.inputs_to_close() == []
    ended(run, count=2)
    assert selectors.inputs_to_close() == []

    services.site_down(JLAB, by="ann", reason="flood")
    detach()
    clear()
    services.site_up(JLAB, by="ann", reason="dry")
    attach()
    assert selectors.inputs_to_close() == []
    job(run, 2, status="finished", site=JLAB)
    for task in selectors.inputs_to_close():
        services.close_input(task)
    assert not task_of(run).is_open
    assert kinds(run, "input_closed") == ["input_closed"] * 2


def test_where_a_job_reads_several_stfs_inputs_are_closed_when_all_are_in_and_nothing_is_held() -> None:
    run = a_processed_run(n_files_per_job=10)
    attach()
    ended(run, count=2)
    assert [task.site for task in selectors.inputs_to_close()] == [BNL, JLAB]

    services.brake_on(run.run_number, by="ann", reason="look at it")
    assert selectors.inputs_to_close() == []


def test_an_input_is_opened_again_for_what_is_retried() -> None:
    run = a_processed_run()
    attach()
    submit()
    ended(run, count=2)
    job(run, 2, status="finished", site=JLAB)
    services.give_up(task_of(run), {processing_of(run, 1).pk: "PanDA has given up"})
    for task in selectors.inputs_to_close():
        services.close_input(task)
    assert selectors.inputs_to_open() == []

    services.retry_failed(run, by="ann")
    assert selectors.inputs_to_open() == []  # PanDA must end the task first
    services.finish_command(task_of(run), "accepted")
    assert [task.site for task in selectors.inputs_to_open()] == [BNL]


def test_counts_are_per_site_and_take_as_many_queries_for_any_number_of_runs(
    django_assert_num_queries: object,
) -> None:
    run, other = a_processed_run(4), a_processed_run()
    runs = list(run_list())
    attach()
    process(run, [1])
    job(run, 3, status="running")
    services.give_up(task_of(run, JLAB), {processing_of(run, 2).pk: "no"})
    with django_assert_num_queries(3):  # type: ignore[operator]
        counts = selectors.counts_of_runs(runs)

    bnl, jlab = counts[run.pk].processing[BNL], counts[run.pk].processing[JLAB]
    assert (bnl.processed, bnl.running, bnl.total) == (1, 1, 2)
    assert (jlab.failed, jlab.waiting) == (1, 1)
    assert counts[other.pk].processed == {BNL: 0, JLAB: 0}
