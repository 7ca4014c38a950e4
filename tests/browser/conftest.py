"""A real web process on the test database, and a real browser to look at it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
from django.db import connection
from playwright.sync_api import Browser, Page, expect, sync_playwright

from apps.agents.bus.relay import sequence
from tests.web import PATIENCE, Web

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
T = TypeVar("T")

expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture
def browser(web: Web) -> Iterator[Browser]:
    """Chromium. It ends before the database is emptied: Django does not talk to it while Playwright's loop runs."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=FLAGS, timeout=PATIENCE * 1000)
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page whose errors fail the test: those of its code, and what the policy for content does not let it do."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(PATIENCE * 1000)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda said: errors.append(said.text) if "Security Policy" in said.text else None)
    yield opened
    assert errors == []


@pytest.fixture
def elsewhere() -> Iterator[Callable[..., Any]]:
    """Calls a function in a thread of its own, as other processes do, and numbers what it wrote, as the relay does."""

    def call(function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        try:
            result = function(*arguments, **named)
            while sequence():
                pass
            return result
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=1) as executor:
        yield lambda function, *arguments, **named: executor.submit(
            call, function, *arguments, **named
        ).result()


def done(page: Page, stage: str) -> Any:
    """How many STFs the strip says are through a stage."""
    return page.locator(f'[data-stage="{stage}"] [data-done]')
