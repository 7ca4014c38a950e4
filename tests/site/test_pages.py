"""The pages as the server draws them, and what staff may do on them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.agents import services as agents
from apps.agents.bus.relay import sequence
from apps.agents.models import SystemAgent
from apps.runs.live.feed import feed
from apps.runs.models import JournalEntry
from apps.runs.services import announce_run
from apps.stf import services as stfs
from apps.stf.choices import ReplicaState
from apps.stf.models import StfFile
from swf_site.pages.run_state import pipeline, run_state
from swf_site.templatetags.swf import lasting, size
from tests.factories import (
    a_run,
    a_running_run,
    an_stf,
    change_replicas,
    ended,
    generated,
    kinds,
    registered,
    verified,
)
from tests.pages import text
from tests.people import a_user
from tests.queries import queries_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def test_an_empty_list_says_what_to_do_next(client: Client) -> None:
    assert "./swf-testbed run" in text(client.get("/"))


def test_the_list_shows_runs_with_their_state_in_words_and_counts_per_site(client: Client) -> None:
    run = a_running_run(stf_count=3)
    first, second = registered(an_stf(run, 1), an_stf(run, 2))
    verified(first)
    change_replicas([second], ReplicaState.VERIFIED, at=["E1_BNL"])

    page = client.get("/")
    (row,) = page.context["rows"]

    assert f"{run.run_number} Running Run physics test tester 2 2 2 1" in text(page)
    assert (row.counts.generated, row.counts.verified, row.expected) == (2, {"E1_BNL": 2, "E1_JLAB": 1}, 3)


def test_only_runs_of_our_own_daq_have_buttons_for_it(shifter: Client) -> None:
    theirs, _ = announce_run(200001, by="other")
    for run, may_control in ((a_running_run(), True), (theirs, False)):
        page = shifter.get(f"/runs/{run.run_number}/").content.decode()
        assert (f"/runs/{run.run_number}/pause/" in page) == may_control


def test_the_list_is_filtered_by_the_address(client: Client) -> None:
    a_run()
    running = a_running_run()

    assert [row.run for row in client.get("/?lifecycle=running&namespace=test").context["rows"]] == [running]
    assert "No run is like this" in text(client.get("/?lifecycle=paused"))


def test_the_list_takes_a_constant_number_of_queries(client: Client) -> None:
    registered(an_stf(a_running_run()))
    few = queries_of(lambda: client.get("/"))
    for _ in range(4):
        registered(an_stf(a_running_run()))

    assert queries_of(lambda: client.get("/")) == few


@pytest.mark.parametrize(
    ("waiting_for", "age", "words"),
    [
        ("", timedelta(), "Ready data nothing waits"),
        ("Rucio is away", timedelta(), "Waiting data Rucio is away"),
        ("", timedelta(minutes=1), "Silent data sends no heartbeat"),
    ],
)
def test_agents_are_told_in_words(client: Client, waiting_for: str, age: timedelta, words: str) -> None:
    agents.beat("data", agent_type="data", started_at=timezone.now(), waiting_for=waiting_for, counters={})
    SystemAgent.objects.update(last_heartbeat=timezone.now() - age)

    assert words in text(client.get("/"))


def test_a_run_that_waits_for_an_agent_says_so(client: Client) -> None:
    run = a_running_run()
    agents.beat(
        "data", agent_type="data", started_at=timezone.now(), waiting_for="Rucio is away", counters={}
    )

    assert "data waits: Rucio is away" in text(client.get(f"/runs/{run.run_number}/"))


def test_the_state_of_a_run_has_one_letter_per_stage(client: Client) -> None:
    run = a_running_run()
    safe, copied, known, waiting, broken = (an_stf(run, sequence) for sequence in range(1, 6))
    registered(known)
    registered(copied)
    change_replicas([copied], ReplicaState.VERIFIED, at=["E1_BNL"])
    change_replicas([copied], ReplicaState.FAILED, at=["E1_JLAB"], reason="no space left")
    (safe,) = verified(safe)
    stfs.mark_released(run, [safe.pk])
    stfs.mark_registration_failed(run, {broken.pk: "checksum mismatch"})

    state = run_state(run)

    assert dict(state["stfs"]) == {1: "dddddd", 2: "dddf..", 3: "ddww..", 4: "dw....", 5: "df...."}
    assert state["reasons"] == {2: "E1_JLAB: no space left", 5: "checksum mismatch"}
    assert waiting.registration == "generated"
    assert [(stage["key"], stage["done"], stage["failed"]) for stage in pipeline(state)] == [
        ("generated", 5, 0),
        ("registered", 3, 1),
        ("E1_BNL", 2, 0),
        ("E1_JLAB", 1, 1),
        ("safe", 1, 0),
        ("released", 1, 0),
    ]


def test_old_safe_stfs_are_counted_and_not_drawn(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swf_site.pages.run_state.DRAWN", 2)
    run = a_running_run()
    old, held, *_ = (an_stf(run, sequence) for sequence in range(1, 6))
    verified(old)
    registered(held)

    state = run_state(run)

    assert [sequence for sequence, _ in state["stfs"]] == [2, 3, 4, 5]
    assert state["unlisted"]["safe"] == 1
    assert pipeline(state)[0]["done"] == 5


def test_the_closeout_of_an_incomplete_run_names_what_is_missing_and_why(client: Client) -> None:
    run = a_running_run()
    verified(an_stf(run, 1))
    stfs.evaluate(ended(run, count=2))

    page = client.get(f"/runs/{run.run_number}/")

    assert "Incomplete 1 missing." in text(page)
    assert "2 not sent the DAQ counted it, no stf_gen has arrived" in text(page)
    assert dict(page.context["state"]["stfs"])[2] == "f....."


def test_the_timeline_counts_what_is_said_of_every_stf(client: Client) -> None:
    run = a_running_run()
    registered(*(an_stf(run, sequence) for sequence in range(1, 9)))

    lines = client.get(f"/runs/{run.run_number}/").context["timeline"]

    assert len([line for line in lines if line.counts]) <= 2  # the eight may fall on both sides of a step
    assert sum(number for line in lines for stage, number in line.counts if stage == "Registered") == 8
    assert lines[-1].text == "Requested: workflow fast"


def test_failures_of_one_kind_are_one_line(client: Client) -> None:
    run = a_running_run()
    those = registered(*(an_stf(run, sequence) for sequence in range(1, 4)))
    change_replicas(those, ReplicaState.FAILED, at=["E1_BNL"], reason="no space left")

    said = text(client.get(f"/runs/{run.run_number}/"))

    assert "Copy of 3 STFs to E1_BNL failed: no space left" in said


def test_a_run_page_takes_a_constant_number_of_queries(client: Client) -> None:
    run = a_running_run()
    registered(an_stf(run, 1))
    few = queries_of(lambda: client.get(f"/runs/{run.run_number}/"))
    verified(*(an_stf(run, sequence) for sequence in range(2, 12)))

    assert queries_of(lambda: client.get(f"/runs/{run.run_number}/")) <= few


def test_the_table_of_stfs_is_filtered(client: Client) -> None:
    run = a_running_run()
    broken = an_stf(run, 2)
    an_stf(run, 1)
    stfs.mark_registration_failed(run, {broken.pk: "checksum mismatch"})

    page = client.get(f"/runs/{run.run_number}/stfs/?registration=failed")

    assert [stf.sequence for stf, *_ in page.context["rows"]] == [2]
    assert "Failed checksum mismatch" in text(page)


@pytest.mark.parametrize("path", ["/runs/7/", "/runs/7/parts/", "/runs/7/stfs/"])
def test_a_run_that_does_not_exist_is_named(client: Client, path: str) -> None:
    page = client.get(path)

    assert page.status_code == 404
    assert "There is no run 7." in text(page)


@pytest.mark.parametrize("wish", ["pause", "resume", "stop", "abort"])
def test_staff_ask_the_daq_with_name_and_reason(shifter: Client, wish: str) -> None:
    run = a_running_run()

    shifter.post(f"/runs/{run.run_number}/{wish}/", {"reason": "beam studies"})

    entry = JournalEntry.objects.get(kind=f"{wish}_workflow")
    assert (entry.actor, entry.payload["reason"]) == ("shifter", "beam studies")


def test_staff_have_what_failed_tried_again(shifter: Client) -> None:
    run = a_running_run()
    stfs.mark_registration_failed(run, {an_stf(run).pk: "checksum mismatch"})
    assert "Try failed again" in text(shifter.get(f"/runs/{run.run_number}/"))

    page = shifter.post(f"/runs/{run.run_number}/retry/", follow=True)

    assert StfFile.objects.get().registration == "generated"
    assert "1 failed registrations and copies are tried again." in text(page)
    assert "Try failed again" not in text(page)


def test_staff_close_an_incomplete_run_by_force(shifter: Client) -> None:
    run = ended(a_running_run(), count=1)

    shifter.post(f"/runs/{run.run_number}/force-close/", {"reason": "crate 4 lost power"})
    page = shifter.get(f"/runs/{run.run_number}/")

    assert "Closed by force shifter : crate 4 lost power" in text(page)


def test_a_refusal_is_shown_on_the_page(shifter: Client) -> None:
    run = ended(a_running_run(), count=1)

    page = shifter.post(f"/runs/{run.run_number}/force-close/", {"reason": " "}, follow=True)

    assert "needs a name (by) and a reason" in text(page)


def test_nobody_else_may_act(client: Client, django_user_model: type[User]) -> None:
    run = a_running_run()
    client.force_login(django_user_model.objects.create_user("stranger"))

    answer = client.post(f"/runs/{run.run_number}/abort/", {"reason": "fun"})

    assert answer.status_code == 403
    assert "This needs the role operator; stranger has no role" in text(answer)
    assert "abort_workflow" not in kinds(run)
    assert "Abort" not in text(client.get(f"/runs/{run.run_number}/"))


def test_an_action_needs_the_token_of_its_page() -> None:
    run = a_running_run()
    client = Client(enforce_csrf_checks=True)
    client.force_login(a_user("shifter", "operator"))

    assert client.post(f"/runs/{run.run_number}/stop/").status_code == 403
    assert client.get(f"/runs/{run.run_number}/stop/").status_code == 405


def test_pages_bring_no_foreign_hosts_and_no_inline_code(client: Client) -> None:
    run = a_running_run()
    an_stf(run)
    for path in ("/", "/agents/", f"/runs/{run.run_number}/", f"/runs/{run.run_number}/stfs/", "/nowhere/"):
        page = client.get(path)
        html = page.content.decode()

        assert "default-src 'self'" in page["Content-Security-Policy"]
        assert not re.search(r"""(?:src|href|action)=["'](?:https?:)?//""", html), path
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*(?:src=|application/json))", html), (
            path
        )


def test_every_model_is_in_the_admin_and_its_list_opens(admin_client: Client) -> None:
    run = a_running_run()
    registered(an_stf(run))
    sequence()
    for label in ("runs", "stf", "agents"):
        for model in apps.get_app_config(label).get_models():
            url = reverse(f"admin:{label}_{model._meta.model_name}_changelist")
            assert admin_client.get(url, {"q": "1"}).status_code == 200, url


def test_the_journal_is_read_only_in_the_admin(admin_client: Client) -> None:
    a_run()
    entry = JournalEntry.objects.get()

    assert admin_client.get(f"/admin/runs/journalentry/{entry.pk}/change/").status_code == 200
    assert admin_client.post(f"/admin/runs/journalentry/{entry.pk}/change/", {"kind": "x"}).status_code == 403
    assert (
        admin_client.post(f"/admin/runs/journalentry/{entry.pk}/delete/", {"post": "yes"}).status_code == 403
    )
    assert admin_client.get("/admin/runs/journalentry/add/").status_code == 403


def test_the_admin_lets_a_failed_registration_be_tried_again(admin_client: Client) -> None:
    run = a_running_run()
    broken, fine = an_stf(run, 1), an_stf(run, 2)
    stfs.mark_registration_failed(run, {broken.pk: "checksum mismatch"})

    page = admin_client.post(
        "/admin/stf/stffile/",
        {"action": "retry_registration", "_selected_action": [broken.pk, fine.pk]},
        follow=True,
    )

    assert set(StfFile.objects.values_list("registration", flat=True)) == {"generated"}
    assert "only a failed registration can be tried again" in text(page)
    assert JournalEntry.objects.get(kind="stf_retried").actor == "admin"


def test_health_tells_what_is_away_and_why(client: Client) -> None:
    checks = client.get("/readyz").json()["checks"]

    assert client.get("/healthz").json() == {"status": "ok"}
    assert checks["database"] == checks["migrations"] == ""
    assert not feed.listener.is_alive()
    assert "restart the web process" in checks["listener"]


def test_a_relay_that_is_away_is_noticed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swf_site.health.RELAY_IS_LATE", timedelta())
    a_run()
    late = client.get("/readyz")
    sequence()

    assert late.status_code == 503
    assert "is the relay up?" in late.json()["checks"]["relay"]
    assert client.get("/readyz").json()["checks"]["relay"] == ""


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 B"), (999, "999 B"), (1870, "1.87 kB"), (25_040_000, "25.0 MB"), (2e12, "2.00 TB")],
)
def test_sizes(number: float, words: str) -> None:
    assert size(number) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0 s"), (59.9, "59 s"), (185, "3 min 5 s"), (7800, "2 h 10 min"), (356_400, "4 d 3 h")],
)
def test_lengths_of_time(seconds: float, words: str) -> None:
    assert lasting(timedelta(seconds=seconds)) == words


def test_an_announcement_ahead_of_the_data_agent_is_drawn(client: Client) -> None:
    """The DAQ has made it, the data agent has not taken note yet."""
    from apps.agents.daqsim import checkpoint as checkpoints
    from apps.agents.models import DaqCheckpoint

    run = a_running_run()
    checkpoints.take_on(run)
    message = {"filename": generated(run).stf_filename, "sequence": 1}
    checkpoints.announce_stf(DaqCheckpoint.objects.get(run=run), run, message)

    assert run_state(run)["stfs"] == [(1, "dw....")]
