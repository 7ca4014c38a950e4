"""WebSockets of a real web process: clients that do not read harm nobody, and whoever is closed is told why."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import websocket

from apps.agents.bus.relay import sequence
from apps.agents.services import issue_token, revoke_tokens
from apps.runs.live.consumers import NOT_FOUND
from apps.runs.selectors import newest_position
from swf_site.websocket import NOT_LOGGED_IN
from tests.people import a_user
from tests.web import PATIENCE, Web, note

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]

SIZE = 100
# So that little is on its way to a client that does not read.
SMALL = ((socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536),)


@pytest.fixture
def web(transactional_db: None, tmp_path: Path) -> Iterator[Web]:
    process = Web(tmp_path / "web.log", module="tests.impatient_web")
    process.start()
    yield process
    process.kill()


@contextmanager
def opened(web: Web, path: str, *, token: str = "", **options: Any) -> Iterator[websocket.WebSocket]:
    """An open WebSocket."""
    header = [f"Authorization: Bearer {token}"] if token else []
    page = websocket.create_connection(
        f"ws://127.0.0.1:{web.port}/ws/{path}", timeout=PATIENCE, header=header, origin=web.url, **options
    )
    try:
        yield page
    finally:
        page.shutdown()


def subjects(page: websocket.WebSocket, count: int) -> list[str]:
    """Of the next events."""
    found: list[str] = []
    while len(found) < count:
        frame = json.loads(page.recv())
        found += [event["subject"] for event in frame.get("events", ())]
    return found


def resident(web: Web) -> int:
    """Memory of the web process in kB."""
    match = re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{web.pid}/status").read_text(), re.MULTILINE)
    assert match
    return int(match[1])


def closed(page: websocket.WebSocket) -> tuple[int, str]:
    """Code and reason, once it is closed."""
    while True:
        opcode, data = page.recv_data(control_frame=True)
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            return int.from_bytes(data[:2]), data[2:].decode()


def test_a_refusal_comes_with_its_reason(web: Web) -> None:
    with opened(web, "live/runs/999999/") as page:
        assert closed(page) == (NOT_FOUND, "there is no run 999999")


def test_the_message_stream_is_there_too(web: Web) -> None:
    note("before")
    with opened(web, f"messages/?msg_types=note&last_event_id={newest_position() - 1}") as page:
        assert json.loads(page.recv())["type"] == "connected"
        assert [event["data"]["subject"] for event in json.loads(page.recv())["events"]] == ["before"]


def test_an_open_socket_is_closed_when_its_token_is_revoked(web: Web) -> None:
    new = issue_token(a_user("ann", "viewer"), by="eve", name="for tests")
    while sequence():
        pass

    with opened(web, f"live/?cursor={newest_position()}", token=new.secret) as page:
        note("before")
        assert subjects(page, 1) == ["before"]
        revoke_tokens([new.token.pk], by="eve")
        note("after")

        code, reason = closed(page)
    assert code == NOT_LOGGED_IN
    assert "revoked" in reason


def test_pages_that_do_not_read_cost_no_memory_and_are_dropped(web: Web) -> None:
    batches = 20
    note("first")
    cursor = newest_position()
    descriptors = Path(f"/proc/{web.pid}/fd")
    with ExitStack() as leave:
        path = f"live/?cursor={cursor}"
        quick = leave.enter_context(opened(web, path))
        before = len(list(descriptors.iterdir()))
        for _ in range(20):
            leave.enter_context(opened(web, path, sockopt=SMALL))
        memory = resident(web)

        # 20 MB for each, which memory holds for all of them together.
        written = [f"{nth}-{each}" for nth in range(batches) for each in range(SIZE)]
        for nth in range(batches):
            batch = written[nth * SIZE : (nth + 1) * SIZE]
            # Longer than what clients may send.
            note(*batch, size=11_000)
            assert subjects(quick, SIZE) == batch
        grown = resident(web) - memory

        deadline = monotonic() + PATIENCE
        while len(list(descriptors.iterdir())) > before:
            assert monotonic() < deadline
            sleep(0.05)
        # Whoever was dropped comes back with its cursor.
        with opened(web, path) as again:
            assert subjects(again, len(written)) == written
    assert grown < 150_000
