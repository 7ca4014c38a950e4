"""The errors of the message stream, which is no view: they are those of the schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from channels.layers import channel_layers

from apps.agents.stream.endpoint import MessageStream
from apps.runs.live.feed import Feed
from swf_site.api.openapi.problems import SCHEMA
from swf_site.api.openapi.views import document

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore::ResourceWarning")]

PATH = "/api/messages/stream/"


@pytest.fixture
def stream() -> Iterator[MessageStream]:
    channel_layers.backends = {}
    feed = Feed()
    yield MessageStream(feed=feed)
    feed.stop()


async def refused(stream: MessageStream, query: str, headers: dict[str, str]) -> tuple[int, str, Any]:
    """The status, media type and body of an answer that ends."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("nobody waits for more of the request")

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    named = {"host": "127.0.0.1", **headers}
    scope = {
        "type": "http",
        "method": "GET",
        "path": PATH,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }
    await stream(scope, receive, send)
    start, body = sent
    return start["status"], dict(start["headers"])[b"content-type"].decode(), json.loads(body["body"])


@pytest.mark.parametrize(
    ("query", "headers", "status", "wrong"),
    [
        ("level=3&x=", {}, 400, {"level"}),
        ("run_ids=x", {}, 400, {"run_ids"}),
        ("namespace=a,b", {}, 400, {"namespace"}),
        ("last_event_id=x", {}, 400, {"last_event_id"}),
        ("", {"last-event-id": "-1"}, 400, {"last_event_id"}),
        ("last_event_id=99999999", {}, 410, set()),
        ("", {"authorization": "Bearer swf_x"}, 401, set()),
    ],
)
async def test_errors_are_those_of_the_schema(
    stream: MessageStream, query: str, headers: dict[str, str], status: int, wrong: set[str]
) -> None:
    known = document()["paths"][PATH]["get"]["responses"]

    answered, media_type, problem = await refused(stream, query, headers)

    assert answered == status
    assert str(status) in known
    assert media_type == "application/problem+json"
    jsonschema.validate(problem, SCHEMA)
    assert set(problem.get("errors", {})) == wrong
