"""Processing on the pages as the server draws them."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from apps.stf import services
from apps.stf.choices import TaskCommand
from apps.stf.selectors import SiteCounts
from apps.stf.services import TaskReport
from swf_site.pages.run_processing import bar
from swf_site.pages.run_state import pipeline, run_state
from tests.factories import a_running_run, an_stf, ended, verified
from tests.pages import page_of, text
from tests.processing import (
    BNL,
    JLAB,
    WHY,
    a_processed_run,
    an_active_run,
    attach,
    job,
    process,
    submit,
    task_of,
)
from tests.queries import queries_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def test_the_run_page_shows_how_far_processing_is_at_each_site(client: Client) -> None:
    run = an_active_run()
    services.apply_task_reports([TaskReport(task_of(run).jedi_task_id or 0, "running")])

    said = text(page_of(client, run))

    assert "Policy round-robin of E1_BNL, E1_JLAB, tester" in said
    task = task_of(run)
    assert (
        f"E1_BNL Up 1 processed 1 running 1 queued PanDA task {task.jedi_task_id} running Outputs in Rucio 1 "
        f"Task name {task.task_name} Input dataset {task.input_dataset} open" in said
    )
    assert "E1_JLAB Up 1 processed 1 waiting 1 failed" in said


def test_the_run_page_says_what_is_not_processed_and_why(client: Client) -> None:
    run = an_active_run()

    said = text(page_of(client, run))

    assert f"E1_JLAB Failed 1 2 {WHY}" in said
    assert "E1_BNL Running 1 3 its job is running" in said
    assert f"2 E1_JLAB 77 1 {WHY}" in said
    services.site_down(JLAB, by="ann", reason="cooling")
    assert "E1_JLAB Waiting 1 6 E1_JLAB is down: cooling" in text(page_of(client, run))


def test_waiting_stfs_of_one_reason_are_one_line_whatever_was_before(client: Client) -> None:
    run = a_processed_run(4, policy="both", sites=(BNL,))
    attach()
    submit()
    job(run, 3, status="failed", reason=WHY)
    services.brake_on(run.run_number, by="ann", reason="work")

    (line,) = page_of(client, run).context["unprocessed"]

    assert (line.count, line.sequence, line.reason) == (4, 1, "brake by ann: work")


def test_what_holds_processing_stands_on_the_page_with_name_and_time(client: Client) -> None:
    run = an_active_run()
    services.brake_on(run.run_number, by="ann", reason="bad data", cancel=True)
    services.site_down(JLAB, by="bob", reason="cooling")

    said = text(page_of(client, run))

    assert re.search(r"Brake : no new task, .* running jobs are killed\. ann since .* : bad data", said)
    assert re.search(r"E1_JLAB is down : it is given no STFs\. bob since .* : cooling", said)
    assert text(client.get(f"/runs/{run.run_number}/parts/")).count("bad data") >= 1


def test_the_brake_of_all_runs_is_on_every_page(client: Client) -> None:
    run = an_active_run()
    paths = (
        "/",
        "/agents/",
        "/processing/",
        f"/runs/{run.run_number}/",
        f"/runs/{run.run_number}/parts/",
        f"/runs/{run.run_number}/stfs/",
        f"/runs/{run.run_number}/stfs/1/",
        "/nowhere/",
    )
    assert not [path for path in paths if "Brake on all runs" in text(client.get(path))]

    services.brake_on(None, by="ann", reason="disk is full")

    for path in paths:
        assert re.search(r"Brake on all runs : .* ann since .* : disk is full", text(client.get(path))), path


def test_the_state_of_a_run_has_a_letter_per_site_of_processing(client: Client) -> None:
    run = an_active_run()
    an_stf(run, 7)

    state = run_state(run)

    assert [row[6:] for _, row in state["stfs"]] == ["d-", "-f", "w-", "-d", "w-", "-w", ".."]
    assert state["reasons"][2] == f"processing at E1_JLAB: {WHY}"
    numbers = {stage["key"]: (stage["done"], stage["of"], stage["failed"]) for stage in pipeline(state)}
    assert numbers["processed-E1_BNL"] == (1, 3, 0)
    assert numbers["processed-E1_JLAB"] == (1, 3, 1)
    assert sum(state["recent"]["processed-E1_BNL"]) == 1


def test_old_safe_stfs_are_counted_at_their_sites_and_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swf_site.pages.run_state.DRAWN", 2)
    run = an_active_run()

    state = run_state(run)

    assert state["stfs"] == [(5, "ddddd.w-"), (6, "ddddd.-w")]
    assert state["unlisted_open"] == {"processed-E1_BNL": 1, "processed-E1_JLAB": 0}
    numbers = [(stage["done"], stage["of"], stage["failed"]) for stage in pipeline(state)]
    assert numbers[-2:] == [(1, 3, 0), (1, 3, 1)]


def test_a_run_without_processing_says_how_to_have_it(client: Client) -> None:
    run = a_running_run()

    said = text(page_of(client, run))

    assert f"./swf-testbed manage processing policy {run.run_number} both" in said
    assert [stage["kind"] for stage in page_of(client, run).context["processing"]] == []


def test_a_policy_that_was_left_keeps_its_sites_on_the_page(client: Client) -> None:
    run = an_active_run()
    services.set_policy(run.run_number, "none", by="ann")

    page = page_of(client, run)

    assert "Policy none , ann" in text(page)
    assert [row.name for row in page.context["sites"]] == [BNL, JLAB]


def test_the_timeline_tells_processing_in_words(client: Client) -> None:
    run = an_active_run()
    services.brake_on(run.run_number, by="ann", reason="bad data")
    services.set_policy(run.run_number, "hash", by="ann")
    services.request_command(run.run_number, BNL, TaskCommand.KILL, by="ann", reason="wrong")

    said = text(page_of(client, run))

    assert f"PanDA has the task of E1_BNL: {task_of(run).jedi_task_id}" in said
    assert f"job 77 at E1_JLAB failed: {WHY}" in said
    assert f": not processed at E1_JLAB: {WHY}" in said
    assert "Processed E1_BNL 1" in said
    assert "Processing is held: bad data ann" in said
    assert "Policy of processing: hash instead of round-robin" in said
    assert "PanDA is to kill the task of E1_BNL: wrong" in said


def test_the_proof_shows_what_is_processed_and_its_outputs(client: Client) -> None:
    run = a_processed_run(2, policy="both")
    attach()
    submit()
    process(run, [1, 2])
    process(run, [1, 2], site=JLAB)
    services.evaluate(ended(run, count=2))

    said = text(page_of(client, run))

    assert "Processed at E1_BNL 2 Processed at E1_JLAB 2 Outputs 4 Missing or not processed 0" in said
    assert "processed where its policy says, and every output is registered" in said
    assert "Closed: all 2 STFs are safe and processed" in said
    (row,) = client.get("/").context["rows"]
    assert (row.processing.processed, row.processing.total) == (4, 4)


def test_what_is_safe_and_not_processed_is_not_called_missing(client: Client) -> None:
    run = an_active_run()
    services.evaluate(ended(run, count=7))

    said = text(page_of(client, run))

    assert "Incomplete 1 missing, 4 not processed." in said
    assert "Incomplete: of 7 STFs 1 missing, 4 not processed" in said
    assert f"2 not processed E1_JLAB: {WHY}" in said
    assert "1 missing, 4 not processed" in text(client.get("/"))


def test_the_list_of_runs_shows_processing_and_the_sites(client: Client) -> None:
    an_active_run()
    services.site_down(JLAB, by="ann", reason="cooling")

    page = client.get("/")

    assert "2 of 6 1 failed" in text(page)
    assert "Processing sites Up E1_BNL Down E1_JLAB ann: cooling" in text(page)


def test_an_stf_is_shown_with_its_jobs_and_outputs(client: Client) -> None:
    run = a_processed_run(1, policy="both")
    attach()
    submit()
    job(run, 1, status="failed", reason=WHY, panda_id=70)
    process(run, [1])

    said = text(client.get(f"/runs/{run.run_number}/stfs/1/"))

    assert "Processing at E1_BNL Processed" in said
    assert re.search(rf"70 1 failed .* {WHY}", said)
    assert f"user.swf:{run.run_number}.1.E1_BNL.root 10 B, adler32 0000000a in Rucio" in said
    assert "Processing at E1_JLAB Waiting" in said
    assert "PanDA has made no job of it yet." in said


def test_an_stf_that_is_processed_nowhere_says_so(client: Client) -> None:
    run = a_running_run()
    verified(an_stf(run, 1))
    an_stf(run, 2)

    assert "it is archived only" in text(client.get(f"/runs/{run.run_number}/stfs/1/"))
    assert "decided when it is registered" in text(client.get(f"/runs/{run.run_number}/stfs/2/"))
    missing = client.get(f"/runs/{run.run_number}/stfs/3/")
    assert missing.status_code == 404
    assert f"Run {run.run_number} has no STF 3." in text(missing)


def test_the_table_of_stfs_has_a_column_per_site_and_a_filter(client: Client) -> None:
    run = an_active_run()

    page = client.get(f"/runs/{run.run_number}/stfs/?processing=failed")

    assert [stf.sequence for stf, *_ in page.context["rows"]] == [2]
    assert f"elsewhere Failed {WHY}" in text(page)


def test_the_page_of_processing_lists_tasks_and_failures(client: Client) -> None:
    run, other = an_active_run(), a_processed_run(1)
    attach()
    services.apply_task_reports([TaskReport(task_of(run).jedi_task_id or 0, "running", "slow")])

    page = client.get("/processing/")

    assert [row.task.run for row in page.context["rows"]] == [other, run, run]
    assert "none yet not submitted 1 waiting" in text(page)
    assert f"{run.run_number} 2 E1_JLAB 77 1 {WHY}" in text(page)
    found = client.get(f"/processing/?run={run.run_number}&status=running&site={BNL}")
    assert [row.task for row in found.context["rows"]] == [task_of(run)]
    assert "No task is like this" in text(client.get("/processing/?status=broken"))


def test_an_empty_page_of_processing_says_what_to_do_next(client: Client) -> None:
    said = text(client.get("/processing/"))

    assert "There is no task yet" in said
    assert "No site is known yet" in said


@pytest.mark.parametrize("path", ["/", "/processing/", "/runs/RUN/", "/runs/RUN/stfs/", "/runs/RUN/stfs/1/"])
def test_pages_take_a_constant_number_of_queries(client: Client, path: str) -> None:
    run = an_active_run()
    address = path.replace("RUN", str(run.run_number))
    few = queries_of(lambda: client.get(address))
    more = [an_stf(run, sequence) for sequence in range(7, 20)]
    verified(*more)
    attach()
    process(run, range(7, 12, 2))
    for sequence in (8, 10):
        job(run, sequence, site=JLAB, status="failed", reason=f"{WHY} of {sequence}")
    an_active_run_again = a_processed_run(3)
    attach()
    submit()
    process(an_active_run_again, [1])

    assert queries_of(lambda: client.get(address)) <= few


def test_pages_bring_no_foreign_hosts_and_no_inline_code(shifter: Client) -> None:
    run = an_active_run()
    services.brake_on(None, by="ann", reason="work")
    for path in ("/processing/", f"/runs/{run.run_number}/", f"/runs/{run.run_number}/stfs/1/"):
        html = shifter.get(path).content.decode()

        assert not re.search(r"""(?:src|href|action)=["'](?:https?:)?//""", html), path
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*(?:src=|application/json))", html), (
            path
        )


def test_a_bar_has_a_part_for_each_state_that_occurs() -> None:
    parts = bar(SiteCounts(waiting=1, running=2, processed=5))

    assert [(part.key, part.label, part.start, part.width) for part in parts] == [
        ("done", "processed", 0.0, 62.5),
        ("running", "running", 62.5, 25.0),
        ("waiting", "waiting", 87.5, 12.5),
    ]
    assert bar(SiteCounts()) == []
