"""The page of fast monitoring in a real browser: it draws what was counted, follows it, and says the same as a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from apps.stf.choices import WorkerStatus
from apps.stf.histograms import fill
from tests.browser.conftest import CONTRAST, Web
from tests.fast import a_sampled_run, beat, claimed, cut, not_sampled, sampled, settle, some_hits

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("exit_buffer")]

Elsewhere = Callable[..., Any]


def a_busy_run() -> Any:
    """With everything the page can show."""
    a_sampled_run(1)
    run = a_sampled_run(3)
    beat("host-1")
    cut(run)
    first, second = claimed()
    beat("host-1", WorkerStatus.BUSY, req_id=second.req_id, attempt=1)
    settle(first)
    for _ in range(3):
        claimed()
        settle(second, error="exit code 7")
    beat("host-2", WorkerStatus.ENDED, reason="asked to stop")
    sampled(run, 4, corrupt=[305])
    not_sampled(run, 5, skipped="older than 10 s")
    return run


def opened(page: Page, web: Web, run: Any, query: str = "") -> None:
    """The page of the run, live, with what is in sight drawn."""
    page.goto(f"{web.url}/runs/{run.run_number}/fastmon/{query}")
    expect(page.locator("[data-live]")).to_have_attribute("data-state", "live")


def plot(page: Page, detector: str, key: str) -> Locator:
    return page.locator(f'[data-detector="{detector}"] [data-plot="{key}"]')


def pixels(figure: Locator) -> str:
    """What is drawn in a figure."""
    expect(figure.locator("canvas")).to_be_visible()
    drawn: str = figure.locator("canvas").evaluate("canvas => canvas.toDataURL()")
    return drawn


def table(figure: Locator) -> list[list[str]]:
    """The rows of a figure's table, which is opened if it is not yet."""
    if figure.locator("details[open]").count() == 0:
        figure.locator("summary").click()
    expect(figure.locator("tbody tr").first).to_be_visible()
    rows: list[list[str]] = figure.locator("tbody").evaluate(
        "body => [...body.rows].map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    return rows


def counts(figure: Locator) -> list[int]:
    return [int(row[2].replace("\N{NARROW NO-BREAK SPACE}", "")) for row in table(figure)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_readable(page: Page, web: Web, elsewhere: Elsewhere, scheme: Any) -> None:
    run, empty = elsewhere(a_busy_run), elsewhere(a_sampled_run, 0)
    page.emulate_media(color_scheme=scheme)
    for number, query in ((run.run_number, ""), (run.run_number, "?group=pid"), (empty.run_number, "")):
        page.goto(f"{web.url}/runs/{number}/fastmon/{query}")
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})

            assert page.evaluate("document.documentElement.dataset.theme") == scheme
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate(CONTRAST) == []


def test_the_table_says_what_is_drawn_and_follows_it(page: Page, web: Web, elsewhere: Elsewhere) -> None:
    run = elsewhere(a_sampled_run, 1)
    opened(page, web, run)
    adc = plot(page, "SVT_IB", "adc")
    before = pixels(adc)
    first, second = (fill(some_hits(seed)) for seed in (1, 2))
    assert counts(adc) == first.counts[1][0].tolist()

    elsewhere(sampled, run, 2)

    expect(page.locator("[data-part=fast-summary]")).to_contain_text("STFs sampled 2")
    both = first + second
    assert counts(adc) == both.counts[1][0].tolist()
    assert pixels(adc) != before
    expect(page.locator('[data-detector="SVT_IB"] [data-hits]')).to_contain_text(f"{both.entries[0]} hits")
    assert [row[0] for row in table(page.locator('[data-plot="latency"]'))] == ["1", "2"]


def test_the_first_sample_appears_by_itself(page: Page, web: Web, elsewhere: Elsewhere) -> None:
    run = elsewhere(a_sampled_run, 0)
    opened(page, web, run)
    expect(page.get_by_text("Nothing is sampled yet")).to_be_visible()

    elsewhere(sampled, run, 1)

    expect(page.get_by_text("Nothing is sampled yet")).to_be_hidden()
    expect(plot(page, "SVT_IB", "time").locator("canvas")).to_be_visible()


def test_slices_and_workers_follow(page: Page, web: Web, elsewhere: Elsewhere) -> None:
    run = elsewhere(a_sampled_run, 1)
    opened(page, web, run)
    slices = page.locator("[data-part=fast-slices]")
    expect(slices).to_contain_text("Each sample is cut into 4 slices")

    elsewhere(cut, run)
    expect(slices).to_contain_text("4 queued")
    elsewhere(beat, "host-1")
    expect(slices.get_by_role("row").filter(has_text="host-1")).to_contain_text("Ready")
    (one, _) = elsewhere(claimed)
    elsewhere(settle, one)
    expect(slices).to_contain_text("1 done")


def test_the_page_catches_up_when_the_web_process_was_away(
    page: Page, web: Web, elsewhere: Elsewhere
) -> None:
    run = elsewhere(a_sampled_run, 1)
    opened(page, web, run)

    web.kill()
    expect(page.locator("[data-live]")).not_to_have_attribute("data-state", "live")
    elsewhere(sampled, run, 2)
    web.start()

    expect(page.locator("[data-part=fast-summary]")).to_contain_text("STFs sampled 2")
    expect(page.locator("[data-live]")).to_have_attribute("data-state", "live")


def test_a_choice_holds_at_once_and_stays_in_the_address(page: Page, web: Web, elsewhere: Elsewhere) -> None:
    earlier, run = elsewhere(a_sampled_run, 2), elsewhere(a_sampled_run, 1)
    opened(page, web, run)
    alone = pixels(plot(page, "SVT_IB", "adc"))

    page.get_by_label("Reference").select_option(str(earlier.run_number))

    expect(page.get_by_text(f"run {earlier.run_number}, scaled to as many TFs")).to_be_visible()
    adc = plot(page, "SVT_IB", "adc")
    assert pixels(adc) != alone
    reference = (fill(some_hits(1)) + fill(some_hits(2))).counts[1][0]
    assert [float(row[3]) for row in table(adc)] == [count / 2 for count in reference.tolist()]
    page.get_by_role("link", name="pid").click()
    expect(page.get_by_role("heading", name="BTOF")).to_be_visible()
    assert f"reference={earlier.run_number}" in page.url


def test_the_keyboard_opens_a_table_and_saves_the_image(page: Page, web: Web, elsewhere: Elsewhere) -> None:
    run = elsewhere(a_sampled_run, 1)
    opened(page, web, run)
    figure = plot(page, "SVT_IB", "occupancy")
    pixels(figure)

    figure.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(figure.locator("tbody tr")).to_have_count(64)
    expect(figure.locator("[data-drawing]")).to_have_attribute("aria-label", f"SVT_IB: {_hits()}")
    page.keyboard.press("Tab")
    expect(figure.get_by_role("region")).to_be_focused()
    page.keyboard.press("Tab")
    with page.expect_download() as download:
        page.keyboard.press("Enter")

    assert download.value.suggested_filename == f"Run-{run.run_number}-SVT-IB-Occupancy.png"
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_the_colours_of_the_plots_follow_those_of_the_page(
    page: Page, web: Web, elsewhere: Elsewhere
) -> None:
    page.emulate_media(color_scheme="light")
    opened(page, web, elsewhere(a_sampled_run, 1))
    figure = plot(page, "SVT_IB", "occupancy")
    light = pixels(figure)

    page.get_by_role("button", name="Colours").click()
    page.get_by_role("button", name="Colours").click()

    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    assert pixels(figure) != light


def _hits() -> str:
    histograms = fill(some_hits(1))
    mean = f"{float(f'{histograms.means[0][0]:.4g}'):,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{histograms.entries[0]} hits, mean {mean}"
