"""One thread does a request: as many at a time as there are threads, and none of them keeps anything of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.urls import get_script_prefix, path

from swf_site.handler import OneThreadHandler

pytestmark = [pytest.mark.django_db(transaction=True)]

PATIENCE = 60.0
THREADS = 2


class Seen:
    """What the views below have seen."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.lock = threading.Lock()
        self.go_on = threading.Event()
        self.connections: list[Any] = []
        self.read = 0


seen = Seen()


@pytest.fixture(autouse=True)
def fresh(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    seen.__init__()  # type: ignore[misc]


def busy(request: HttpRequest) -> HttpResponse:
    """Takes until the test lets it go on."""
    with seen.lock:
        seen.running += 1
        seen.most = max(seen.most, seen.running)
    assert seen.go_on.wait(PATIENCE)
    with seen.lock:
        seen.running -= 1
    return HttpResponse("done")


def asks(request: HttpRequest) -> HttpResponse:
    """Keeps the connection by which it has asked the database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    seen.connections.append(connection.connection)
    return HttpResponse("asked")


def repeats(request: HttpRequest) -> HttpResponse:
    """What it was sent."""
    length = int(request.META["CONTENT_LENGTH"])
    return JsonResponse(
        {"size": [len(request.body), length], "prefix": get_script_prefix(), "path": request.path_info}
    )


def pieces(request: HttpRequest) -> HttpResponseBase:
    """A stream of more than memory has, an empty piece among them."""

    def content() -> Iterator[bytes]:
        asks(request)
        yield b""
        while True:
            seen.read += 1
            yield b"x" * 1_000_000

    return StreamingHttpResponse(content())


def fails(request: HttpRequest) -> HttpResponse:
    """Has a mistake."""
    raise ZeroDivisionError


urlpatterns = [path(f"{view.__name__}/", view) for view in (busy, asks, repeats, pieces, fails)]


class Client:
    """The server's side of one request."""

    def __init__(self, *body: bytes, leaves: bool = False) -> None:
        last = {"type": "http.disconnect"} if leaves else {"type": "http.request", "body": b""}
        self._events = [*({"type": "http.request", "body": part, "more_body": True} for part in body), last]
        self.room = asyncio.Semaphore(1_000)
        self.status = 0
        self.body = b""

    async def receive(self) -> dict[str, Any]:
        """ASGI's."""
        if self._events:
            return self._events.pop(0)
        return await asyncio.get_running_loop().create_future()

    async def send(self, message: dict[str, Any]) -> None:
        """ASGI's."""
        await self.room.acquire()
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")


async def asked(
    handler: OneThreadHandler, view: str, client: Client | None = None, *, root: str = ""
) -> Client:
    """The client, once it has its answer."""
    client = client or Client()
    scope = {
        "type": "http",
        "method": "POST" if view == "repeats" else "GET",
        "path": f"{root}/{view}/",
        "root_path": root,
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
    }
    await handler(scope, client.receive, client.send)
    return client


@pytest.fixture
def handler(settings: Any) -> OneThreadHandler:
    settings.MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
    return OneThreadHandler(threads=THREADS)


async def until(condition: Any) -> None:
    """Wait until it holds."""
    deadline = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_more_requests_than_threads_wait_and_are_answered(handler: OneThreadHandler) -> None:
    answers = [asyncio.create_task(asked(handler, "busy")) for _ in range(10 * THREADS)]
    await until(lambda: seen.running == THREADS)
    seen.go_on.set()

    assert {(one.status, one.body) for one in await asyncio.gather(*answers)} == {(200, b"done")}
    assert seen.most == THREADS


async def test_no_thread_keeps_a_connection(handler: OneThreadHandler) -> None:
    await asyncio.gather(*(asked(handler, "asks") for _ in range(5)))

    assert len(seen.connections) == 5
    assert all(one.closed for one in seen.connections)


async def test_an_error_is_an_answer(handler: OneThreadHandler) -> None:
    assert (await asked(handler, "fails")).status == 500
    assert (await asked(handler, "asks")).status == 200


async def test_a_body_comes_in_pieces_and_the_place_of_the_application_is_that_of_one_request(
    handler: OneThreadHandler,
) -> None:
    there = await asked(handler, "repeats", Client(b"x" * 70_000, b"x" * 30_000), root="/testbed")
    here = await asked(handler, "repeats")

    assert there.body == b'{"size": [100000, 100000], "prefix": "/testbed/", "path": "/repeats/"}'
    assert here.body == b'{"size": [0, 0], "prefix": "/", "path": "/repeats/"}'


async def test_nothing_is_done_for_a_client_that_leaves_before_it_has_asked(
    handler: OneThreadHandler,
) -> None:
    client = await asked(handler, "asks", Client(b"half", leaves=True))

    assert (client.status, seen.connections) == (0, [])


async def test_a_stream_is_read_as_fast_as_its_client_reads_and_holds_no_thread(
    handler: OneThreadHandler,
) -> None:
    slow = [Client() for _ in range(2 * THREADS)]
    for client in slow:
        client.room = asyncio.Semaphore(20)
    reading = [asyncio.create_task(asked(handler, "pieces", client)) for client in slow]
    await until(lambda: all(client.room.locked() for client in slow))

    # A piece is sent in parts, so that two have been read.
    assert seen.read <= 2 * len(slow)
    assert (await asked(handler, "asks")).status == 200
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    assert all(one.closed for one in seen.connections)
