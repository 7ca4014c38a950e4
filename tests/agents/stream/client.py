"""A client of the stream's ASGI application, without a server between; and what it may read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.db import transaction

from apps.agents.bus.relay import sequence
from apps.agents.services import issue_token
from apps.agents.stream.endpoint import MessageStream
from apps.runs import journal
from apps.runs.selectors import newest_position
from tests.people import a_user

PATIENCE = 60.0


def note(*subjects: str, **where: Any) -> None:
    """Commit and number one entry after the other."""
    for subject in subjects:
        with transaction.atomic():
            journal.record(journal.Change("note", subject=subject, **where))
    while sequence():
        pass


def a_token(**what: Any) -> tuple[int, dict[str, str]]:
    """A new token's id, and the header that brings it."""
    user = User.objects.filter(username="ann").first() or a_user("ann", "viewer")
    new = issue_token(user, **{"by": "tester", "name": "for tests", **what})
    while sequence():
        pass
    return new.token.pk, {"authorization": f"Bearer {new.secret}"}


commit = database_sync_to_async(note)
token = database_sync_to_async(a_token)
newest = database_sync_to_async(newest_position)


@dataclass
class Answer:
    """What has come so far."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    reads: asyncio.Event = field(default_factory=asyncio.Event)
    leave: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, message: dict[str, Any]) -> None:
        """ASGI's: waits while the client does not read."""
        await self.reads.wait()
        async with self.news:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                self.body += message.get("body", b"")
                self.ended = not message.get("more_body", False)
            self.news.notify_all()

    async def receive(self) -> dict[str, Any]:
        """ASGI's."""
        await self.leave.wait()
        return {"type": "http.disconnect"}

    async def until(self, condition: Any) -> None:
        """Wait until the condition holds of the answer."""
        async with asyncio.timeout(PATIENCE), self.news:
            await self.news.wait_for(lambda: condition(self))

    @property
    def blocks(self) -> list[dict[str, str]]:
        """The complete blocks: fields by name; comments under the empty one."""
        *whole, _ = self.body.decode().split("\n\n")
        return [dict(line.split(": ", 1) for line in block.split("\n")) for block in whole]

    @property
    def events(self) -> list[tuple[str, int, dict[str, Any]]]:
        """Type, id and data of all events but the greeting, which must come first."""
        found = [block for block in self.blocks if "event" in block]
        assert not found or found[0]["event"] == "connected"
        return [(one["event"], int(one["id"]), json.loads(one["data"])) for one in found[1:]]

    async def subjects(self, count: int) -> list[str]:
        """The subjects of the first `count` events, which are no messages."""
        await self.until(lambda answer: len(answer.events) >= count)
        return [data["subject"] for _, _, data in self.events]


@asynccontextmanager
async def reading(
    stream: MessageStream,
    *,
    headers: dict[str, str] | None = None,
    method: str = "GET",
    host: str = "127.0.0.1",
    **query: Any,
) -> AsyncIterator[Answer]:
    """An open stream, once it has begun to answer; it is left in the end, and must have ended then."""
    answer = Answer()
    answer.reads.set()
    named = {"host": host, **(headers or {})}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": "/api/messages/stream/",
        "raw_path": b"/api/messages/stream/",
        "root_path": "",
        "query_string": urlencode(query).encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in named.items()],
        "client": ["127.0.0.1", 5],
        "server": ["127.0.0.1", 8000],
    }
    serving = asyncio.create_task(stream(scope, answer.receive, answer.send))  # type: ignore[arg-type]
    try:
        await answer.until(lambda answer: answer.body)
        yield answer
    finally:
        answer.leave.set()
        answer.reads.set()
        async with asyncio.timeout(PATIENCE):
            await serving
