"""The pages in a real browser: readable in every light and width, usable by keyboard, and never behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from apps.runs import services as runs
from apps.runs.models import Run
from apps.stf import services as stfs
from apps.stf.choices import ReplicaState
from tests.browser.conftest import CONTRAST, Web, done
from tests.factories import a_running_run, an_stf, change_replicas, ended, registered, verified

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("exit_buffer")]

Elsewhere = Callable[..., Any]


def an_incomplete_run() -> Run:
    """With everything a page can show: safe, failed and missing STFs, and a verdict."""
    run = a_running_run(stf_count=6)
    verified(an_stf(run, 1), an_stf(run, 2))
    half = registered(an_stf(run, 3))
    change_replicas(half, ReplicaState.FAILED, at=["E1_JLAB"], reason="no space left on device")
    stfs.mark_registration_failed(run, {an_stf(run, 4).pk: "checksum mismatch"})
    stfs.evaluate(ended(run, count=6))
    return run


def make(run: Run, sequence: int) -> None:
    """One more STF, registered and verified at both sites."""
    verified(an_stf(run, sequence))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_readable(page: Page, web: Web, elsewhere: Elsewhere, scheme: Any) -> None:
    number = elsewhere(an_incomplete_run).run_number
    page.emulate_media(color_scheme=scheme)
    for path in ("/", "/agents/", f"/runs/{number}/", f"/runs/{number}/stfs/", "/?lifecycle=paused"):
        page.goto(web.url + path)
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})

            assert page.evaluate("document.documentElement.dataset.theme") == scheme
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            assert page.evaluate(CONTRAST) == [], path


def test_a_new_run_appears_on_the_list(page: Page, web: Web, elsewhere: Elsewhere) -> None:
    page.goto(web.url)
    expect(page.get_by_text("There is no run yet")).to_be_visible()

    run = elsewhere(a_running_run)

    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=str(run.run_number)))
    expect(row).to_contain_text("Running")
    elsewhere(make, run, 1)
    expect(row.locator(".count").first).to_have_text("1")


def test_a_run_moves_as_it_goes_on(page: Page, web: Web, elsewhere: Elsewhere) -> None:
    run = elsewhere(a_running_run, stf_count=2)
    page.goto(f"{web.url}/runs/{run.run_number}/")
    expect(page.locator("[data-live]")).to_have_attribute("data-state", "live")

    elsewhere(make, run, 1)
    expect(done(page, "registered")).to_have_text("1")
    expect(done(page, "E1_JLAB")).to_have_text("1")
    expect(done(page, "safe")).to_have_text("1")

    elsewhere(runs.advance, run.run_number, ("run", "standby"))
    expect(page.locator("[data-part=banner]")).to_contain_text("Paused")
    expect(page.locator("[data-part=timeline]")).to_contain_text("Datataking pauses")

    elsewhere(lambda: stfs.evaluate(ended(run, count=1)))
    expect(page.locator("[data-part=closeout]")).to_contain_text("Every STF is registered and verified")


def test_what_is_tried_again_no_longer_stands_as_failed(page: Page, web: Web, elsewhere: Elsewhere) -> None:
    run = elsewhere(an_incomplete_run)
    page.goto(f"{web.url}/runs/{run.run_number}/")
    failed = page.locator("[data-stage=registered] [data-failed]")
    expect(failed).to_have_text("1 failed")

    elsewhere(stfs.retry_failed, run, by="shifter")

    expect(failed).to_have_text("")


def test_a_page_catches_up_when_the_web_process_was_away(page: Page, web: Web, elsewhere: Elsewhere) -> None:
    run = elsewhere(a_running_run)
    page.goto(f"{web.url}/runs/{run.run_number}/")
    elsewhere(make, run, 1)
    expect(done(page, "safe")).to_have_text("1")

    web.kill()
    expect(page.locator("[data-live]")).not_to_have_attribute("data-state", "live")
    elsewhere(make, run, 2)
    web.start()

    expect(done(page, "safe")).to_have_text("2")
    expect(page.locator("[data-live]")).to_have_attribute("data-state", "live")


def test_the_keyboard_reaches_the_content_and_every_stf(page: Page, web: Web, elsewhere: Elsewhere) -> None:
    run = elsewhere(an_incomplete_run)
    page.goto(f"{web.url}/runs/{run.run_number}/")

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()

    chart = page.get_by_role("application", name="Map of STFs")
    for _ in range(20):
        page.keyboard.press("Tab")
        if chart.evaluate("map => map === document.activeElement"):
            break
    tip = chart.get_by_role("status")
    expect(tip).to_contain_text("STF 1")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    expect(tip).to_contain_text("E1_JLAB: failed")
    expect(tip).to_contain_text("no space left on device")
    page.keyboard.press("End")
    expect(tip).to_contain_text("not sent")


def test_the_choice_of_colours_stays(page: Page, web: Web) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(web.url)
    switch = page.get_by_role("button", name="Colours")
    switch.click()
    switch.click()
    page.goto(f"{web.url}/agents/")

    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    expect(page.get_by_role("button", name="Colours: Dark")).to_be_visible()


def test_an_operator_pauses_a_run(page: Page, web: Web, elsewhere: Elsewhere) -> None:
    elsewhere(User.objects.create_superuser, "shifter", "", "secret")
    run = elsewhere(a_running_run)
    page.goto(f"{web.url}/admin/login/?next=/runs/{run.run_number}/")
    page.get_by_label("Username").fill("shifter")
    page.get_by_label("Password").fill("secret")
    page.get_by_role("button", name="Log in").click()

    page.get_by_role("form", name="Datataking").get_by_label("Reason").fill("beam studies")
    page.get_by_role("button", name="Pause").click()

    expect(page.get_by_text(f"The DAQ has been asked to pause run {run.run_number}.")).to_be_visible()
    expect(page.locator("[data-part=timeline]")).to_contain_text("Asked to pause")
