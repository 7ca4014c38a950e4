"""Processing over REST: anybody reads, staff act, and what is refused says why."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.runs.models import JournalEntry, Run
from apps.stf import services
from apps.stf.models import Brake, DecisionBox, ProcessingOutput, ProcessingSite
from apps.stf.services import TaskReport
from tests.people import a_user
from tests.processing import (
    BNL,
    JLAB,
    a_processed_run,
    an_output,
    attach,
    job,
    process,
    submit,
    task_of,
)
from tests.queries import queries_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]

LISTS = (
    "stf-files",
    "decision-boxes",
    "brakes",
    "processing-sites",
    "processing-tasks",
    "processing-jobs",
    "stf-processings",
    "processing-outputs",
)


@pytest.fixture
def staff(client: Client) -> Client:
    """The client as ann, of the staff."""
    client.force_login(a_user("ann", "operator"))
    return client


def an_active_run(stfs: int = 4) -> Run:
    """STF 1 is processed, a job of 2 has failed, one of 3 runs; 4 waits."""
    run = a_processed_run(stfs)
    attach()
    submit()
    process(run, [1])
    job(run, 2, site=JLAB, status="failed", reason="payload: exit code 7")
    job(run, 3, status="running")
    return run


def post(client: Client, path: str, body: dict[str, Any] | None = None) -> Any:
    return client.post(f"/api/{path}/", body or {}, "application/json")


def results(client: Client, query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = client.get(f"/api/{query}").json()["results"]
    return rows


def test_processing_is_shown_from_task_to_output(client: Client) -> None:
    run = an_active_run()

    (task,) = results(client, f"processing-tasks/?run={run.run_number}&site={BNL}")
    assert task["task_name"] == f"user.swf.swf.{run.run_number}.{BNL}.processed/"
    assert (task["jedi_task_id"], task["status"]) == (task_of(run).jedi_task_id, "waiting")
    (done,) = results(client, "processing-jobs/?status=finished")
    assert [one["sequence"] for one in done["inputs"]] == [1]
    assert [(one["did"], one["checksum"]) for one in done["outputs"]] == [
        (f"user.swf:{run.run_number}.1.{BNL}.root", "0000000a")
    ]
    (output,) = results(client, f"processing-outputs/?panda_id={done['panda_id']}&registered=true")
    assert (output["rse"], output["size_bytes"], output["run_number"]) == (BNL, 10, run.run_number)
    (site, _) = results(client, "processing-sites/")
    assert (site["name"], site["is_down"]) == (BNL, False)
    assert client.get(f"/api/decision-boxes/{run.run_number}/").json()["policy"] == "round-robin"


def test_an_stf_is_shown_with_its_processing(client: Client) -> None:
    run = an_active_run()

    (stf,) = results(client, f"stf-files/?run={run.run_number}&processing=done")

    assert [(one["site"], one["state"], one["attempts"]) for one in stf["processings"]] == [(BNL, "done", 0)]
    assert stf["processings"][0]["done_at"]


def test_stfs_are_filtered_by_state_and_jobs_by_whether_they_are_open(client: Client) -> None:
    run = an_active_run()

    def sequences(query: str) -> list[int]:
        return [row["sequence"] for row in results(client, f"stf-processings/?run={run.run_number}&{query}")]

    assert sequences("state=done") == [1]
    assert sequences("state=waiting&state=running") == [4, 3, 2]
    assert sequences(f"site={JLAB}&sequence=2") == [2]
    assert [row["reason"] for row in results(client, "stf-processings/?sequence=2")] == [
        "payload: exit code 7"
    ]
    assert [row["status"] for row in results(client, "processing-jobs/?open=true")] == ["running"]
    assert [row["status"] for row in results(client, "processing-jobs/?sequence=2")] == ["failed"]
    assert client.get("/api/stf-processings/?state=lost").status_code == 400


def test_lists_take_a_constant_number_of_queries(client: Client) -> None:
    def requests() -> list[int]:
        return [queries_of(lambda name=name: client.get(f"/api/{name}/")) for name in LISTS]

    an_active_run()
    services.brake_on(None, by="ann", reason="work")
    few = requests()
    services.brake_off(None, by="ann", reason="done")
    run = an_active_run(12)
    process(run, range(5, 13, 2))
    services.brake_on(run.run_number, by="ann", reason="work")

    assert requests() == few


def test_staff_mark_a_site_down_and_up(staff: Client) -> None:
    an_active_run()

    down = post(staff, f"processing-sites/{JLAB}/down", {"reason": "cooling"})
    assert (down.status_code, down.json()["down_reason"], down.json()["changed_by"]) == (
        200,
        "cooling",
        "ann",
    )
    assert [row["name"] for row in results(staff, "processing-sites/?is_down=true")] == [JLAB]
    assert post(staff, f"processing-sites/{JLAB}/up", {"reason": "cold again"}).json()["is_down"] is False
    assert JournalEntry.objects.filter(kind__in=["site_down", "site_up"], actor="ann").count() == 2


@pytest.mark.parametrize("command", ["kill", "finish", "retry", "reload"])
def test_staff_have_a_task_commanded(staff: Client, command: str) -> None:
    task = task_of(an_active_run())

    answer = post(staff, f"processing-tasks/{task.pk}/{command}", {"reason": "wrong payload"})

    assert answer.status_code == 202
    assert (answer.json()["command"], answer.json()["command_by"]) == (command, "ann")
    assert answer.json()["command_reason"] == "wrong payload"


def test_staff_hold_and_release_all_runs_or_one(staff: Client) -> None:
    run = an_active_run()

    on = post(staff, "brakes/on", {"reason": "disk is full", "cancel": True})
    assert (on.json()["run_number"], on.json()["is_on"], on.json()["cancel"]) == (None, True, True)
    assert post(staff, f"runs/{run.run_number}/brake/on", {"reason": "bad data"}).json()["by"] == "ann"
    assert [row["run_number"] for row in results(staff, "brakes/?is_on=true")] == [None, run.run_number]
    assert post(staff, "brakes/off", {"reason": "disk is bigger"}).json()["is_on"] is False
    assert post(staff, f"runs/{run.run_number}/brake/off", {"reason": "good data"}).status_code == 200
    assert results(staff, "brakes/?is_on=true") == []


def test_staff_change_the_policy(staff: Client) -> None:
    run = an_active_run()
    path = f"runs/{run.run_number}/policy"

    assert post(staff, path, {"policy": "both", "sites": [JLAB, BNL]}).json()["sites"] == [JLAB, BNL]
    answer = post(staff, path, {"policy": "explicit", "rules": [f"{BNL}:1-10"]}).json()
    assert (answer["policy"], answer["rules"], answer["changed_by"]) == ("explicit", [f"{BNL}:1-10"], "ann")
    assert answer["sites"] == [JLAB, BNL]


@pytest.mark.parametrize(
    ("path", "body", "status", "why"),
    [
        ("processing-sites/E1_BNL/down", {}, 400, "reason"),
        ("processing-sites/E1_CERN/down", {"reason": "far"}, 404, "there is no processing site 'E1_CERN'"),
        ("processing-tasks/0/kill", {}, 404, "No ProcessingTask matches"),
        ("brakes/on", {"cancel": True}, 400, "reason"),
        ("brakes/on", {"reason": "work", "cancle": True}, 400, "cancle"),
        ("brakes/off", {"reason": "work"}, 404, "there is no brake for all runs"),
        ("runs/7/brake/on", {"reason": "work"}, 404, "there is no run 7"),
        ("runs/7/policy", {"policy": "both"}, 404, "there is no run 7"),
        ("runs/RUN/policy", {"policy": "all"}, 400, "policy"),
        ("runs/RUN/policy", {"policy": "explicit"}, 409, '"errors":{"rules":'),
        ("runs/RUN/policy", {"policy": "both", "sites": ["E1_CERN"]}, 409, "no copy goes to E1_CERN"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(
    staff: Client, path: str, body: dict[str, Any], status: int, why: str
) -> None:
    run = a_processed_run()

    answer = post(staff, path.replace("RUN", str(run.run_number)), body)

    assert answer.status_code == status
    assert why in answer.content.decode()
    assert answer["Content-Type"] == "application/problem+json"


def test_a_task_that_panda_does_not_know_cannot_be_commanded(staff: Client) -> None:
    run = a_processed_run()
    attach()

    answer = post(staff, f"processing-tasks/{task_of(run).pk}/kill")

    assert answer.status_code == 409
    assert "not submitted yet" in answer.json()["detail"]


@pytest.mark.parametrize(("name", "refused"), [("nobody", 401), ("stranger", 403)])
def test_only_operators_act(client: Client, name: str, refused: int) -> None:
    run = an_active_run()
    if name == "stranger":
        client.force_login(User.objects.create_user("stranger"))
    paths = (
        f"processing-sites/{BNL}/down",
        f"processing-tasks/{task_of(run).pk}/kill",
        f"runs/{run.run_number}/policy",
        f"runs/{run.run_number}/brake/on",
        "brakes/on",
    )

    wish = {"reason": "fun", "policy": "none"}
    assert {post(client, path, wish).status_code for path in paths} == {refused}
    assert not Brake.objects.exists()
    assert not ProcessingSite.objects.filter(is_down=True).exists()
    assert DecisionBox.objects.get().policy == "round-robin"


def test_panda_words_and_reasons_are_passed_on(client: Client) -> None:
    run = an_active_run()
    task = task_of(run)
    services.apply_task_reports([TaskReport(task.jedi_task_id or 0, "broken", "unknown queue")])
    output = an_output("two.root")
    job(run, 4, site=JLAB, status="finished", outputs=(output,))
    made = ProcessingOutput.objects.get(name="two.root")
    services.mark_outputs(run, registered=[], missing={made.pk: "size"})

    assert [row["reason"] for row in results(client, "processing-tasks/?status=broken")] == ["unknown queue"]
    assert [row["reason"] for row in results(client, "processing-outputs/?registered=false")] == ["size"]
