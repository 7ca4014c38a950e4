"""What staff may do of processing on the pages, and that nobody else may."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.runs.models import JournalEntry
from apps.stf.models import Brake, DecisionBox, ProcessingSite
from tests.pages import page_of, post, text
from tests.processing import BNL, JLAB, an_active_run, processing_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def test_staff_hold_a_run_and_let_it_go_on(shifter: Client) -> None:
    run = an_active_run()
    address = f"/runs/{run.run_number}/brake"

    said = text(post(shifter, f"{address}/on/", reason="bad data", cancel="on"))
    assert f"The brake of run {run.run_number} is on. Running jobs are killed." in said
    assert "Release brake" in said
    brake = Brake.objects.get()
    assert (brake.by, brake.reason, brake.cancel) == ("shifter", "bad data", True)
    assert "is off." in text(post(shifter, f"{address}/off/", reason="good data"))
    assert not Brake.objects.get().is_on


def test_staff_hold_all_runs(shifter: Client) -> None:
    said = text(post(shifter, "/processing/brake/on/", reason="disk"))

    assert "The brake of all runs is on. Running jobs may end." in said
    assert "Release brake of all runs" in said
    post(shifter, "/processing/brake/off/", reason="bigger disk")
    assert not Brake.objects.get().is_on


def test_staff_change_the_policy(shifter: Client) -> None:
    run = an_active_run()

    page = post(
        shifter,
        f"/runs/{run.run_number}/policy/",
        policy="explicit",
        sites="E1_JLAB, E1_BNL",
        rules="E1_BNL:1-5, E1_JLAB:6",
    )

    assert f"The policy of run {run.run_number} is explicit" in text(page)
    box = DecisionBox.objects.get()
    assert (box.sites, box.rules, box.changed_by) == ([JLAB, BNL], ["E1_BNL:1-5", "E1_JLAB:6"], "shifter")


@pytest.mark.parametrize("wish", ["kill", "finish", "retry", "reload"])
def test_staff_have_a_task_commanded(shifter: Client, wish: str) -> None:
    run = an_active_run()

    page = post(shifter, f"/runs/{run.run_number}/tasks/{wish}/", site=BNL, reason="wrong payload")

    assert f"PanDA will be asked to {wish} the task at E1_BNL." in text(page)
    assert "shifter: wrong payload waits" in text(page)
    entry = JournalEntry.objects.get(kind="task_command")
    assert (entry.actor, entry.payload["command"]) == ("shifter", wish)


def test_staff_mark_a_site_down_and_up(shifter: Client) -> None:
    an_active_run()

    assert "E1_JLAB is down" in text(post(shifter, f"/processing/sites/{JLAB}/down/", reason="cooling"))
    assert ProcessingSite.objects.get(is_down=True).changed_by == "shifter"
    assert "E1_JLAB is up." in text(post(shifter, f"/processing/sites/{JLAB}/up/", reason="cold again"))


def test_failed_processing_is_tried_again_from_the_run_page(shifter: Client) -> None:
    run = an_active_run()

    assert "Try failed again" in text(page_of(shifter, run))
    post(shifter, f"/runs/{run.run_number}/retry/")
    assert processing_of(run, 2).state == "waiting"


@pytest.mark.parametrize(
    ("path", "form", "why"),
    [
        ("/runs/RUN/brake/on/", {"reason": " "}, "a brake needs a name (by) and a reason"),
        ("/runs/RUN/brake/off/", {"reason": "x"}, "there is no brake on run"),
        ("/runs/RUN/policy/", {"policy": "explicit"}, "needs rules"),
        ("/runs/RUN/policy/", {"policy": ""}, "policy: "),
        ("/runs/RUN/tasks/kill/", {"site": "E1_CERN"}, "has no task at E1_CERN"),
        ("/processing/sites/E1_CERN/down/", {"reason": "x"}, "there is no processing site"),
        ("/processing/brake/on/", {}, "a brake needs a name (by) and a reason"),
    ],
)
def test_a_refusal_is_shown_on_the_page(shifter: Client, path: str, form: dict[str, str], why: str) -> None:
    run = an_active_run()

    page = post(shifter, path.replace("RUN", str(run.run_number)), **form)

    assert page.status_code == 200
    assert why in text(page)


def test_nobody_else_may_act(client: Client) -> None:
    run = an_active_run()
    client.force_login(User.objects.create_user("stranger"))

    for path in (
        f"/runs/{run.run_number}/brake/on/",
        f"/runs/{run.run_number}/policy/",
        f"/runs/{run.run_number}/tasks/kill/",
        "/processing/brake/on/",
        f"/processing/sites/{BNL}/down/",
    ):
        assert client.post(path, {"reason": "fun", "policy": "none", "site": BNL}).status_code == 403
        assert client.get(path).status_code == 405
    assert not Brake.objects.exists()
    assert DecisionBox.objects.get().policy == "round-robin"
    assert "Control processing" not in text(page_of(client, run))
    assert "Mark down" not in text(client.get("/processing/"))
