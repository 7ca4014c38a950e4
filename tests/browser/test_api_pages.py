"""The pages that show the schema, in a real browser: they draw, complain of nothing, and fetch from here alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from apps.agents.services import issue_token
from tests.browser.conftest import Web
from tests.people import a_user

pytestmark = pytest.mark.browser


@pytest.fixture
def secret(transactional_db: None) -> str:
    """A token, from before the browser runs."""
    return issue_token(a_user("ann", "agent"), by="tester", name="for tests").secret


@pytest.fixture
def strict(secret: str, page: Page, web: Web) -> Iterator[Page]:
    """A page that may not complain, and asks nobody else."""
    complaints: list[str] = []
    elsewhere: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("request", lambda request: elsewhere.append(request.url))
    yield page
    assert complaints == []
    assert [url for url in elsewhere if not url.startswith((web.url, "data:", "blob:"))] == []


def test_swagger_tries_out_a_change_with_a_token(strict: Page, web: Web, secret: str) -> None:
    strict.goto(f"{web.url}/")
    strict.get_by_role("link", name="API", exact=True).click()
    strict.get_by_role("button", name="Authorize").click()
    strict.locator("#auth-bearer-value").fill(secret)
    strict.locator(".auth-container").filter(has_text="bearer").get_by_text("Authorize", exact=True).click()
    strict.locator(".modal-ux .close-modal").click()
    strict.locator("#operations-tag-state").click()
    operation = strict.locator("#operations-state-state_next_agent_id_create")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()

    expect(operation.locator(".live-responses-table tr.response .response-col_status")).to_contain_text("200")
    expect(operation.locator(".live-responses-table")).to_contain_text('"agent_id": 1')


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_redoc_draws_the_schema(strict: Page, web: Web, colours: str) -> None:
    strict.emulate_media(color_scheme=colours)  # type: ignore[arg-type]
    strict.goto(f"{web.url}/api/docs/")
    strict.get_by_role("link", name="Read it (Redoc)").click()

    # It draws all operations at once.
    expect(strict.get_by_role("heading", name="SWF testbed")).to_be_visible()
    expect(strict.get_by_role("heading", name="stf_files_create")).to_be_attached()
