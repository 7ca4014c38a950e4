"""`manage.py processing`: what it shows, does and refuses; and what following a run says of processing."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from apps.agents.management.commands.processing import Command
from apps.agents.management.follow import follow_run
from apps.runs.models import JournalEntry, Run
from apps.stf import selectors, services
from apps.stf.models import Brake, DecisionBox, ProcessingSite
from apps.stf.services import TaskReport
from tests.factories import ended
from tests.processing import BNL, JLAB, a_processed_run, attach, job, process, submit, task_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def said(*arguments: object) -> str:
    """What the command prints, its spaces narrowed."""
    out = StringIO()
    call_command("processing", *map(str, arguments), stdout=out)
    return "\n".join(" ".join(line.split()) for line in out.getvalue().splitlines())


def an_active_run() -> Run:
    """STF 1 is processed, a job of 2 has failed."""
    run = a_processed_run(2)
    attach()
    submit()
    process(run, [1])
    job(run, 2, site=JLAB, status="failed", reason="payload: exit code 7", panda_id=77)
    return run


def test_the_status_shows_sites_tasks_and_failures() -> None:
    run = an_active_run()
    services.apply_task_reports([TaskReport(task_of(run).jedi_task_id or 0, "running")])

    text = said("status")

    assert "E1_BNL up E1_BNL" in text
    task = task_of(run)
    assert f"{task.pk} {run.run_number} E1_BNL {task.jedi_task_id} running 0 0 0 1 0 1" in text
    assert f"77 {run.run_number} E1_JLAB 2 1 payload: exit code 7" in text


def test_the_status_says_first_what_is_held_and_why() -> None:
    run = an_active_run()
    services.brake_on(run.run_number, by="ann", reason="bad data", cancel=True)
    services.brake_on(None, by="bob", reason="disk is full")
    services.site_down(JLAB, by="cyd", reason="cooling")

    first, second, *rest = said("status").splitlines()

    assert first.startswith("BRAKE ON all runs by bob, ")
    assert first.endswith("may end: disk is full")
    assert second.startswith(f"BRAKE ON run {run.run_number} by ann, ")
    assert second.endswith("running jobs are killed: bad data")
    assert "E1_JLAB down E1_JLAB cyd: cooling" in rest


def test_a_status_without_anything_says_so() -> None:
    assert "No processing site yet" in said("status")
    assert "No task yet" in said("status")


def test_the_status_is_for_programs_too() -> None:
    run, other = an_active_run(), a_processed_run(1)
    attach()

    status = json.loads(said("status", "--json", "--run", run.run_number))

    done = next(task for task in status["tasks"] if task["site"] == BNL)
    assert (done["run_number"], done["processed"], done["outputs"], done["status"]) == (
        run.run_number,
        1,
        1,
        "waiting",
    )
    assert [row["reason"] for row in status["failures"]] == ["payload: exit code 7"]
    assert (status["brakes"], [site["is_down"] for site in status["sites"]]) == ([], [False, False])
    assert len(json.loads(said("status", "--json"))["tasks"]) == 3
    assert {task["run_number"] for task in status["tasks"]} == {run.run_number} != {other.run_number}


def test_the_brake_is_put_on_and_taken_off() -> None:
    run = an_active_run()

    assert "the brake of all runs is on, running jobs may end: disk (ann)" in said(
        "brake", "on", "--reason", "disk", "--by", "ann"
    )
    assert "running jobs are killed" in said(
        "brake", "on", "--run", run.run_number, "--cancel", "--reason", "bad data"
    )
    text = said("brake", "off", "--reason", "bigger disk")
    assert "the brake of all runs is off: bigger disk" in text
    assert f"still on: run {run.run_number}" in text
    assert Brake.objects.get(is_on=True).run == run
    assert JournalEntry.objects.filter(kind="brake_on", actor="ann").count() == 1


def test_a_site_is_marked_down_and_up() -> None:
    an_active_run()

    assert (
        said("site", "down", JLAB, "--reason", "cooling", "--by", "ann") == "E1_JLAB is down: cooling (ann)"
    )
    assert ProcessingSite.objects.get(is_down=True).name == JLAB
    assert said("site", "up", JLAB, "--reason", "cold again") == "E1_JLAB is up"


def test_the_policy_is_changed() -> None:
    run = an_active_run()

    assert "policy hash (E1_JLAB, E1_BNL), for the STFs" in said(
        "policy", run.run_number, "hash", "--sites", JLAB, BNL
    )
    said("policy", run.run_number, "explicit", "--rules", "E1_BNL:1-5", "E1_JLAB:6-9", "--by", "ann")
    box = DecisionBox.objects.get()
    assert (box.policy, box.rules, box.changed_by) == ("explicit", ["E1_BNL:1-5", "E1_JLAB:6-9"], "ann")
    assert f"run {run.run_number}: policy none, for" in said("policy", run.run_number, "none")


@pytest.mark.parametrize("command", ["kill", "finish", "retry", "reload"])
def test_a_task_is_commanded(command: str) -> None:
    run = an_active_run()
    task = task_of(run)

    assert f"{command} is on its way to PanDA" in said("task", command, task.pk, "--by", "ann")
    task.refresh_from_db()
    assert (task.command, task.command_by) == (command, "ann")
    assert f"{command} asked by ann" in said("status")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "the following arguments are required"),
        (["brake", "on"], "--reason"),
        (["brake", "on", "--reason", " "], "needs a name .by. and a reason"),
        (["brake", "on", "--run", "7", "--reason", "x"], "there is no run 7"),
        (["brake", "off", "--reason", "x"], "there is no brake for all runs"),
        (["brake", "off", "--cancel", "--reason", "x"], "--cancel goes with brake on"),
        (["site", "down", "E1_CERN", "--reason", "x"], "no processing site 'E1_CERN'; there are: E1_BNL"),
        (["site", "sideways", "E1_BNL", "--reason", "x"], "invalid choice: 'sideways'"),
        (["policy", "RUN", "all"], "invalid choice: 'all'"),
        (["policy", "RUN", "explicit"], "needs rules"),
        (["policy", "RUN", "both", "--sites", "E1_CERN"], "no copy goes to E1_CERN"),
        (["policy", "7", "both"], "there is no run 7"),
        (["task", "kill", "0"], "there is no task with the id 0: `processing status`"),
        (["task", "kill", "seven"], "invalid int value"),
        (["status", "--run", "7"], "there is no run 7"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(arguments: list[str], why: str) -> None:
    run = an_active_run()
    with pytest.raises(CommandError, match=why):
        said(*[str(run.run_number) if word == "RUN" else word for word in arguments])

    assert DecisionBox.objects.get().policy == "round-robin"
    assert not Brake.objects.exists()


def test_a_task_that_panda_does_not_know_cannot_be_commanded() -> None:
    run = a_processed_run()
    attach()

    with pytest.raises(CommandError, match="is not submitted yet"):
        said("task", "kill", task_of(run).pk)


def test_reasons_do_not_steer_the_terminal() -> None:
    run = an_active_run()
    job(run, 2, site=JLAB, status="failed", reason="\x1b[2J[bold]boom")

    text = said("status")

    assert "\x1b" not in text
    assert r"\x1b[2J[bold]boom" in text


def test_a_database_that_is_away_is_a_reason_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise OperationalError("connection refused\nIs the server running?")

    monkeypatch.setattr(selectors, "task_list", away)
    with pytest.raises(CommandError, match=r"the database does not answer: connection refused$"):
        said("status")


def test_help_teaches_by_example() -> None:
    text = Command().create_parser("manage.py", "processing").format_help()

    assert '\n  processing site down E1_JLAB --reason "cooling"\n' in text


def test_following_a_run_tells_programs_what_is_processed(capsys: pytest.CaptureFixture[str]) -> None:
    run = an_active_run()
    ended(run, count=2)

    assert not follow_run(run.run_number, timeout=0, as_json=True)

    printed = capsys.readouterr()
    found = json.loads(printed.out.splitlines()[-1])
    assert (found["processed"], found["outputs"]) == (1, 1)
    assert found["tasks"] == [
        {"site": site, "jedi_task_id": task_of(run, site).jedi_task_id, "status": "waiting"}
        for site in (BNL, JLAB)
    ]
    assert "Processed at E1_JLAB" in printed.err
    assert "Outputs in Rucio" in printed.err


def test_an_stf_of_two_sites_is_processed_when_both_have_done_it(capsys: pytest.CaptureFixture[str]) -> None:
    run = a_processed_run(2, policy="both")
    attach()
    submit()
    process(run, [1, 2])
    process(run, [2], site=JLAB)

    follow_run(run.run_number, timeout=0, as_json=True)

    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["processed"], found["outputs"]) == (1, 3)


def test_a_run_that_is_processed_nowhere_has_no_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    run = a_processed_run(1, policy="none")
    follow_run(run.run_number, timeout=0, as_json=True)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["tasks"] == []


def test_following_says_at_its_end_what_holds_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    run = an_active_run()
    services.brake_on(run.run_number, by="ann", reason="bad data")
    services.site_down(JLAB, by="bob", reason="cooling")

    follow_run(run.run_number, timeout=0, as_json=True)

    said = capsys.readouterr().err
    assert "processing is held by ann: bad data" in said
    assert "E1_JLAB is down, says bob: cooling" in said
