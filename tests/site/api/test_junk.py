"""What no program would send: whatever makes no sense is refused with its reason, and is never a bug."""

from __future__ import annotations

import gzip
import json
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


def as_text(body: Any) -> str:
    """As JSON, which has no infinity but numbers of any size."""
    return json.dumps(body).replace("Infinity", "1e999")


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


@pytest.mark.parametrize(
    "text", ["a\x00b", "\ud800", {"deep": ["\x00"]}, {"\udfff": 1}, [1e999], [{"a": -1e999}]]
)
@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k1"}])
def test_what_cannot_be_stored_is_named(agent: Agent, text: Any, key: dict[str, str]) -> None:
    log = {"app_name": "a", "instance_name": "b", "level": 20, "message": "m"}
    requests: list[tuple[str, str, Any]] = [
        ("POST", "runs/", {"run_number": 102827, "run_conditions": {"x": text}}),
        ("POST", "system-state-events/", {"event_type": "seen", "event_data": {"x": text}}),
        ("POST", "logs/", {**log, "extra_data": {"x": text}}),
        (
            "POST",
            "systemagents/heartbeat/",
            {"instance_name": "a", "agent_type": "x", "metadata": {"x": text}},
        ),
    ]
    for method, path, body in requests:
        answer: Any = agent.client.generic(
            method, f"/api/{path}", as_text(body), "application/json", headers=key
        )
        last = list(body)[-1]
        assert answer.status_code == 400, path
        assert answer.json()["errors"].keys() == {last}, answer.json()
        good = agent.client.generic(method, f"/api/{path}", as_text(body | {last: {}}), "application/json")
        assert good.status_code == 201, path

    both = as_text([log, {**log, "extra_data": {"x": text}}])
    assert [len(wrong) for wrong in posted(agent, "logs/", both).json()["errors"]] == [0, 1]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("offset=99999999999999999999999", "offset"),
        (f"offset={HUGE}", "offset"),
        (f"limit={HUGE}", "limit"),
        ("offset=-1", "offset"),
        ("search=%00", "search"),
        (f"run_number={HUGE}", "run_number"),
    ],
)
def test_parameters_that_make_no_sense_are_named(agent: Agent, query: str, field: str) -> None:
    assert errors(agent.get(f"runs/?{query}", status=400)) == {field}


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip"])
def test_a_body_comes_as_it_is(agent: Agent, coding: str) -> None:
    body = gzip.compress(b'{"run_number": 102827}')
    answer: Any = agent.client.generic(
        "POST", "/api/runs/", body, "application/json", headers={"Content-Encoding": coding}
    )

    assert (answer.status_code, answer["Content-Type"]) == (415, "application/problem+json")
    assert coding in answer.json()["detail"]


@pytest.mark.parametrize("path", ["processing-sites/%00/down/", "namespaces/%00/", "systemagents/%00/"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_has_such_a_name(agent: Agent, method: str, path: str) -> None:
    answer = agent.client.generic(method, f"/api/{path}", "junk", "text/plain")

    assert answer.status_code in (400, 404, 405, 415)
