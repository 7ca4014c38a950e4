"""What no program would send: whatever makes no sense is refused with its reason, and is never a bug."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from apps.agents.bus.relay import sequence
from swf_site.api.parsers import DEEPEST
from tests.people import a_user
from tests.rest import Agent, errors

pytestmark = pytest.mark.django_db

PAGED = ("journal", "logs", "system-state-events", "workflow-messages")
HUGE = "9" * 5000


@pytest.fixture
def agent() -> Agent:
    """A program that may do nearly everything."""
    a_user("ann", "operator")
    return Agent("ann")


def posted(agent: Agent, path: str, body: str) -> Any:
    """What this text is answered."""
    return agent.client.post(f"/api/{path}", body, "application/json")


@pytest.mark.parametrize("path", PAGED)
@pytest.mark.parametrize(
    "cursor",
    [
        *("cD14", "cD0%2F", "cj0xJnA9YQ%3D%3D", "!!!!", "cj14", "cA", "%00", "%FF", "é", "bz0x", "null"),
        *(b64encode(text.encode()).decode() for text in (f"p={HUGE}", "p=-1", "p=1&p=2", "o=-1&p=1", "p=٣")),
    ],
)
def test_a_cursor_that_no_page_has_given_is_refused(agent: Agent, path: str, cursor: str) -> None:
    problem = agent.get(f"{path}/?cursor={cursor}", status=400)

    assert errors(problem) == {"cursor"}


@pytest.mark.parametrize("path", PAGED)
def test_cursors_lead_there_and_back(agent: Agent, path: str) -> None:
    for number in range(3):
        agent.post("logs/", {"app_name": "a", "instance_name": "b", "level": 20, "message": str(number)})
        agent.post("runs/", {"run_number": 102827 + number})

    while sequence():
        pass

    first = agent.get(f"{path}/?limit=1")
    second = agent.get(first["next"].split("/api/")[1])

    assert second["results"] != first["results"]
    assert agent.get(second["previous"].split("/api/")[1])["results"] == first["results"]


@pytest.mark.parametrize("path", ["runs/", "logs/", "workers/", "stf-files/", "runs/start/", "runs/1/pause/"])
@pytest.mark.parametrize(
    "body",
    [
        '{"a":' * 1500 + "1" + "}" * 1500,
        "[" * 100_000,
        "[" * 1500 + "]" * 1500,
        '{"a":' * 800 + "1" + "}" * 800,
        '{"run_number": 1, "run_conditions": ' + "[" * DEEPEST + "1" + "]" * DEEPEST + "}",
    ],
)
def test_json_that_is_nested_too_deeply_is_refused(agent: Agent, path: str, body: str) -> None:
    answer = posted(agent, path, body)

    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert "deeper" in answer.json()["detail"]


def test_json_that_is_nested_as_deeply_as_may_be_is_shown_again(agent: Agent) -> None:
    deep: Any = 1
    for _ in range(DEEPEST - 1):
        deep = [deep]
    agent.post("runs/", {"run_number": 102827, "run_conditions": {"deep": deep[0]}})

    while sequence():
        pass

    assert agent.get("runs/102827/")["run_conditions"]["deep"] == deep[0]
    assert agent.get("journal/?run=102827")["results"]


@pytest.mark.parametrize(
    "body", [HUGE, '{"run_number": ' + HUGE + "}", "nul", "\x00", '"\\ud800"', "[1e999]"]
)
def test_other_junk_is_refused(agent: Agent, body: str) -> None:
    for path in ("runs/", "logs/", "workers/"):
        assert posted(agent, path, body).status_code == 400


@pytest.mark.parametrize(
    "path", ["runs/{}/", "runs/{}/statistics/", "runs/{}/state/", "journal/{}/", "logs/{}/"]
)
def test_numbers_beyond_all_columns_are_nothing(agent: Agent, path: str) -> None:
    agent.get(path.format(HUGE), status=404)


def test_nor_can_anything_be_done_with_them(agent: Agent) -> None:
    for path in ("runs/{}/pause/", "runs/{}/policy/", "processing-tasks/{}/kill/", "incidents/{}/clear/"):
        agent.post(path.format(HUGE), {"reason": "junk"}, status=404)
    agent.patch(f"runs/{HUGE}/", {}, status=404)
