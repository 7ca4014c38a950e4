"""The stream out of a real web process, read by the client package: nothing is lost, nobody harms others."""

from __future__ import annotations

import random
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from django.db import connection
from swf_client import Refused, events

from apps.agents.services import issue_token
from services.base import REPOSITORY
from tests.people import a_user
from tests.web import PATIENCE, Web, note

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]

READER = """
import sys
from swf_client import events
url, last = sys.argv[1], sys.argv[2]
for event in events(url, msg_types=["note"], last_event_id=int(last) if last else None):
    print(event.type, event.id, event.data.get("subject", ""), flush=True)
"""


def status(pid: int, name: str) -> int:
    """A number of the process, as the kernel knows it."""
    match = re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert match
    return int(match[1])


def eventually(condition: Any) -> None:
    """Wait until the condition holds."""
    deadline = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < deadline
        sleep(0.05)


class Reader:
    """A process that follows the stream and says what it has seen; killed and started anew, it goes on after that."""

    def __init__(self, url: str) -> None:
        self.seen: list[str] = []
        self._url = url
        self._last = ""
        self._ready = threading.Event()
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", READER, self._url, self._last],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout
        for text in self._process.stdout:
            if not text.endswith("\n"):
                break  # it was killed in the middle of the word
            kind, position, subject = text.rstrip("\n").split(" ", 2)
            if position != "None":
                self._last = position
            if kind == "note":
                self.seen.append(subject)
            self._ready.set()

    def connected(self) -> None:
        """Wait for the first word."""
        assert self._ready.wait(PATIENCE)

    def kill(self) -> None:
        """End it without a word; what it has said counts."""
        self._process.kill()
        self._thread.join()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()

    def restart(self) -> None:
        """Kill it and start it anew."""
        self.kill()
        self._start()


def test_readers_and_server_are_killed_and_nothing_is_lost_or_doubled(web: Web) -> None:
    dice = random.Random(2026)
    readers = [Reader(web.url) for _ in range(2)]
    written: list[str] = []
    try:
        for reader in readers:
            reader.connected()
        for nth in range(60):
            batch = [f"{nth}-{each}" for each in range(dice.randint(1, 6))]
            note(*batch)
            written += batch
            if nth % 20 == 10:
                web.kill()
                note(f"{nth}-away")
                written.append(f"{nth}-away")
                web.start()
            elif dice.random() < 0.15:
                dice.choice(readers).restart()
        for reader in readers:
            eventually(lambda reader=reader: len(reader.seen) >= len(written))
    finally:
        for reader in readers:
            reader.kill()

    assert [reader.seen for reader in readers] == [written, written]


def test_fifty_clients_are_sent_everything_by_no_more_threads(web: Web) -> None:
    clients = 50
    with ExitStack() as leave:
        lines = [leave.enter_context(closing(events(web.url))) for _ in range(clients)]
        for line in lines:
            assert next(line).type == "connected"
        threads = status(web.pid, "Threads")

        note("to all", "and again")

        for line in lines:
            assert [next(line).data["subject"] for _ in range(2)] == ["to all", "and again"]
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            connections = cursor.fetchone()[0]
    assert threads < 20
    assert connections < 10

    # The clients have left: their sockets are gone from the server too.
    descriptors = Path(f"/proc/{web.pid}/fd")
    eventually(lambda: len(list(descriptors.iterdir())) < clients)


def test_clients_that_do_not_read_cost_no_memory_and_hold_up_nobody(web: Web) -> None:
    batches, size = 20, 100
    with ExitStack() as leave:
        quick = leave.enter_context(closing(events(web.url)))
        slow = [leave.enter_context(unread(web)) for _ in range(20)]
        assert next(quick).type == "connected"
        before = status(web.pid, "VmRSS")

        # 20 MB for each, which memory holds for all of them together.
        for nth in range(batches):
            note(*(f"{nth}-{each}" for each in range(size)), size=10_000)
        for nth in range(batches):
            assert [next(quick).data["subject"] for _ in range(size)] == [
                f"{nth}-{each}" for each in range(size)
            ]
        grown = status(web.pid, "VmRSS") - before

        # One begins to read after all.
        late = b""
        while f'"{batches - 1}-{size - 1}"'.encode() not in late[-20_000:]:
            late += slow[0].recv(1_000_000)
    assert grown < 150_000  # kB
    assert late.count(b"event: note") == batches * size


@contextmanager
def unread(web: Web) -> Iterator[socket.socket]:
    """A stream of somebody who does not read it."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        connection.settimeout(PATIENCE)
        connection.connect(("127.0.0.1", web.port))
        connection.sendall(b"GET /api/messages/stream/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b"200 OK" in connection.recv(100)
        yield connection


def test_the_stream_is_for_holders_of_tokens_when_anonymous_reading_is_off(
    transactional_db: None, tmp_path: Path
) -> None:
    token = issue_token(a_user("ann", "viewer"), by="tester", name="for tests", scopes=["read"]).secret
    web = Web(tmp_path / "web.log", SWF_ANONYMOUS_READ="false")
    web.start()
    try:
        with pytest.raises(Refused, match="get_token"):
            next(events(web.url))
        with pytest.raises(Refused, match="unknown"):
            next(events(web.url, token + "x"))
        with closing(events(web.url, token)) as line:
            assert next(line).type == "connected"
    finally:
        web.kill()
