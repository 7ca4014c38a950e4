"""Processing in a real browser: the run page follows it, and its switches work from the keyboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Locator, Page, expect

from apps.runs.models import Run
from apps.stf import services
from apps.stf.choices import TaskCommand
from apps.stf.models import Brake
from tests.browser.conftest import CONTRAST, Web, done
from tests.factories import a_running_run, an_stf, verified
from tests.processing import (
    JLAB,
    a_processed_run,
    attach,
    clear,
    detach,
    job,
    process,
    processing_of,
    submit,
    task_of,
)

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("exit_buffer")]

WHY = "payload: exit code 7"
Elsewhere = Callable[..., Any]


def a_submitted_run() -> Run:
    """Four STFs by turns at two sites, with PanDA's tasks."""
    run = a_processed_run(4, stf_count=4)
    attach()
    submit()
    return run


def fail(run: Run, sequence: int) -> None:
    """A job of the STF at E1_JLAB fails, and PanDA makes no other."""
    job(run, sequence, site=JLAB, status="failed", reason=WHY)
    services.give_up(task_of(run, JLAB), {processing_of(run, sequence).pk: WHY})


def sign_in(page: Page, web: Web, elsewhere: Elsewhere, path: str) -> None:
    elsewhere(User.objects.create_superuser, "shifter", "", "secret")
    page.goto(f"{web.url}/admin/login/?next={path}")
    page.get_by_label("Username").fill("shifter")
    page.get_by_label("Password").fill("secret")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(web.url + path)


def test_the_run_page_follows_processing(page: Page, web: Web, elsewhere: Elsewhere) -> None:
    run = elsewhere(a_submitted_run)
    page.goto(f"{web.url}/runs/{run.run_number}/")
    expect(page.locator("[data-live]")).to_have_attribute("data-state", "live")
    site = page.locator("[data-site=E1_JLAB]")
    expect(site).to_contain_text("2 waiting")

    elsewhere(process, run, [1])
    expect(done(page, "processed-E1_BNL")).to_have_text("1")
    expect(page.locator("[data-site=E1_BNL]")).to_contain_text("1 processed")

    elsewhere(fail, run, 2)
    expect(page.locator("[data-stage=processed-E1_JLAB] [data-failed]")).to_have_text("1 failed")
    expect(site).to_contain_text("1 failed")
    failed = page.get_by_role("table", name="Failed jobs").get_by_role("row").filter(has_text=WHY)
    expect(failed).to_contain_text("E1_JLAB")

    elsewhere(services.request_command, run.run_number, JLAB, TaskCommand.RETRY, by="ann", reason="mended")
    expect(page.locator("[data-stage=processed-E1_JLAB] [data-failed]")).to_have_text("")
    expect(site).to_contain_text("Retry, ann: mended")

    elsewhere(services.site_down, JLAB, by="ann", reason="cooling")
    expect(page.locator("[data-part=banner]")).to_contain_text("E1_JLAB is down: it is given no STFs")
    expect(site).to_contain_text("Down")


def test_jobs_that_no_event_tells_of_are_seen_all_the_same(
    page: Page, web: Web, elsewhere: Elsewhere
) -> None:
    run = elsewhere(a_submitted_run)
    page.goto(f"{web.url}/runs/{run.run_number}/")

    elsewhere(job, run, 1, status="running")

    expect(page.locator("[data-site=E1_BNL]")).to_contain_text("1 running")


def test_stfs_that_move_are_drawn_where_they_are(page: Page, web: Web, elsewhere: Elsewhere) -> None:
    run = elsewhere(a_processed_run, 2, stf_count=2)
    page.goto(f"{web.url}/runs/{run.run_number}/")
    of = page.locator("[data-stage=processed-E1_BNL] [data-of]")
    expect(of).to_have_text("of 1")

    elsewhere(services.site_down, JLAB, by="ann", reason="cooling")
    elsewhere(services.move_waiting)

    expect(of).to_have_text("of 2")
    expect(page.locator("[data-stage=processed-E1_JLAB] [data-of]")).to_have_text("of 0")


def figures(page: Page) -> Locator:
    """What the strips say of each stage: done, of how many, failed."""
    return page.locator("[data-stage] .figure")


def test_events_lead_where_loading_the_page_does(
    browser: Browser, page: Page, web: Web, elsewhere: Elsewhere
) -> None:
    run = elsewhere(a_running_run, stf_count=8, policy="round-robin")
    page.goto(f"{web.url}/runs/{run.run_number}/")
    expect(page.locator("[data-live]")).to_have_attribute("data-state", "live")

    elsewhere(lambda: verified(*(an_stf(run, sequence) for sequence in range(1, 9))))
    elsewhere(attach)
    elsewhere(submit)
    elsewhere(process, run, [1, 5])
    elsewhere(fail, run, 2)
    elsewhere(services.site_down, JLAB, by="ann", reason="cooling")
    for act in (detach, clear, services.move_waiting, attach):
        elsewhere(act)
    # Two that were at E1_JLAB are processed at the other site, one comes back.
    elsewhere(process, run, [4, 6])
    elsewhere(services.site_up, JLAB, by="ann", reason="cold again")
    for act in (detach, clear, services.move_waiting, attach):
        elsewhere(act)
    elsewhere(process, run, [8], site=JLAB)
    elsewhere(process, run, [7])

    of = page.locator("[data-stage=processed-E1_BNL] [data-of]")
    expect(done(page, "processed-E1_BNL")).to_have_text("5")
    expect(done(page, "processed-E1_JLAB")).to_have_text("1")
    expect(of).to_have_text("of 6")
    loaded = browser.new_page()
    loaded.goto(page.url)
    # Where no event tells enough, a page asks for what there is.
    expect(figures(page)).to_have_text(figures(loaded).all_inner_texts(), use_inner_text=True)


def test_another_policy_gives_the_page_its_sites(page: Page, web: Web, elsewhere: Elsewhere) -> None:
    run = elsewhere(a_running_run, stf_count=2)
    page.goto(f"{web.url}/runs/{run.run_number}/")
    expect(page.get_by_text("The policy is none")).to_be_visible()

    elsewhere(services.set_policy, run.run_number, "both", by="ann")
    expect(page.locator("[data-stage=processed-E1_BNL]")).to_be_visible()
    elsewhere(lambda: verified(an_stf(run, 1)))

    expect(page.locator("[data-stage=processed-E1_BNL] [data-of]")).to_have_text("of 1")


def test_an_operator_holds_a_run_by_keyboard(page: Page, web: Web, elsewhere: Elsewhere) -> None:
    run = elsewhere(a_submitted_run)
    sign_in(page, web, elsewhere, f"/runs/{run.run_number}/")
    brake = page.get_by_role("form", name="Brake")

    brake.get_by_label("Reason").focus()
    page.keyboard.type("bad data")
    page.keyboard.press("Tab")
    expect(brake.get_by_label("Cancel running jobs too")).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    expect(brake.get_by_role("button", name="Put brake on")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.locator("[data-part=banner]")).to_contain_text("running jobs are killed. shifter since")
    expect(page.get_by_role("button", name="Release brake")).to_be_visible()
    assert elsewhere(lambda: list(Brake.objects.values_list("by", "reason", "cancel"))) == [
        ("shifter", "bad data", True)
    ]

    page.get_by_role("form", name="Brake").get_by_label("Reason").focus()
    page.keyboard.type("good data")
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"The brake of run {run.run_number} is off.")).to_be_visible()


def test_what_is_typed_stays_while_the_page_moves(page: Page, web: Web, elsewhere: Elsewhere) -> None:
    run = elsewhere(a_submitted_run)
    sign_in(page, web, elsewhere, f"/runs/{run.run_number}/")
    reason = page.get_by_role("form", name="Brake").get_by_label("Reason")
    reason.fill("bad da")

    elsewhere(process, run, [1, 3])

    expect(page.locator("[data-site=E1_BNL]")).to_contain_text("2 processed")
    expect(reason).to_have_value("bad da")


def test_the_brake_of_all_runs_appears_on_open_pages(page: Page, web: Web, elsewhere: Elsewhere) -> None:
    run = elsewhere(a_submitted_run)
    for path in (f"/runs/{run.run_number}/", "/processing/", "/"):
        page.goto(web.url + path)
        expect(page.locator("[data-live]")).to_have_attribute("data-state", "live")

        elsewhere(services.brake_on, None, by="ann", reason="disk is full")
        expect(page.locator("[data-part=brake]")).to_contain_text(
            "Brake on all runs: no new task, no new job"
        )
        elsewhere(services.brake_off, None, by="ann", reason="disk is bigger")
        expect(page.locator("[data-part=brake]")).to_have_text("")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_of_processing_is_readable(
    page: Page, web: Web, elsewhere: Elsewhere, scheme: Any
) -> None:
    run = elsewhere(a_submitted_run)
    elsewhere(process, run, [1])
    elsewhere(fail, run, 2)
    elsewhere(services.brake_on, None, by="ann", reason="disk is full", cancel=True)
    elsewhere(services.site_down, JLAB, by="ann", reason="cooling")
    sign_in(page, web, elsewhere, "/processing/")
    page.emulate_media(color_scheme=scheme)
    for path in ("/processing/", f"/runs/{run.run_number}/", f"/runs/{run.run_number}/stfs/2/", "/"):
        page.goto(web.url + path)
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})

            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            assert page.evaluate(CONTRAST) == [], path
