"""Pages of long lists: counted as far as it takes no time, complete in any case."""

from __future__ import annotations

from typing import Any

import pytest

from apps.runs.api.pagination import Offsets
from tests.queries import count_queries
from tests.rest import Agent, errors

pytestmark = pytest.mark.django_db
AGENTS = 7


@pytest.fixture
def many(agent: Agent) -> Agent:
    """So many agents have been heard of."""
    for nth in range(AGENTS):
        agent.post("systemagents/heartbeat/", {"instance_name": f"a-{nth}", "agent_type": "DATA"})
    return agent


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rows are as many as are counted."""
    monkeypatch.setattr(Offsets, "COUNTED", 3)


def pages(agent: Agent, limit: int) -> list[dict[str, Any]]:
    """All pages of the list, by `next`."""
    found, path = [], f"systemagents/?ordering=instance_name&limit={limit}"
    while path:
        found.append(agent.get(path))
        path = (found[-1]["next"] or "").partition("/api/")[2]
    return found


def names(page: dict[str, Any]) -> list[str]:
    return [row["instance_name"] for row in page["results"]]


def test_a_list_is_counted(many: Agent) -> None:
    assert [(page["count"], page.get("count_is_estimate")) for page in pages(many, 3)] == [(AGENTS, None)] * 3


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("limit", [1, 3, 6, 7, 8])
def test_following_next_shows_every_row_once_however_much_is_counted(many: Agent, limit: int) -> None:
    found = pages(many, limit)

    assert [name for page in found for name in names(page)] == [f"a-{nth}" for nth in range(AGENTS)]
    assert found[-1]["count"] == AGENTS
    assert "count_is_estimate" not in found[-1]


@pytest.mark.usefixtures("impatient")
def test_an_estimate_says_so_and_never_denies_what_was_seen(many: Agent) -> None:
    page = many.get("systemagents/?limit=2&offset=4&ordering=instance_name")

    assert names(page) == ["a-4", "a-5"]
    assert page["count_is_estimate"] is True
    assert page["count"] >= AGENTS
    assert page["previous"]


def test_beyond_the_end_there_is_nothing(many: Agent) -> None:
    page = many.get("systemagents/?offset=100")

    assert (page["results"], page["next"], page["count"]) == ([], None, AGENTS)


def test_what_fits_on_a_page_is_not_counted_apart(many: Agent) -> None:
    whole = count_queries(lambda: many.get("systemagents/"))
    part = count_queries(lambda: many.get("systemagents/?limit=2"))

    assert part == whole + 1


@pytest.mark.parametrize("wrong", ["limit=0", "limit=-1", "limit=ten", "offset=-1", "limit=5&offset=x"])
def test_a_wrong_page_is_refused_by_name(many: Agent, wrong: str) -> None:
    named = wrong.rpartition("&")[2].partition("=")[0]

    assert errors(many.get(f"systemagents/?{wrong}", status=400)) == {named}


@pytest.mark.parametrize("wrong", ["limit=0", "limit=ten"])
def test_a_wrong_page_of_a_stream_of_rows_is_refused_by_name(agent: Agent, wrong: str) -> None:
    assert errors(agent.get(f"journal/?{wrong}", status=400)) == {"limit"}


def test_a_page_that_is_too_long_is_cut(many: Agent) -> None:
    assert len(many.get("systemagents/?limit=100000")["results"]) == AGENTS
