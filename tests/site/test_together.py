"""Several processes serve one port, and live and die together."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic, sleep
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.web import PATIENCE, Web

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]

PROCESSES = 2
LIMIT = 100


@pytest.fixture
def web(transactional_db: None, tmp_path: Path) -> Iterator[Web]:
    process = Web(
        tmp_path / "web.log", SWF_WEB_PROCESSES=str(PROCESSES), SWF_THROTTLE_ANONYMOUS=f"{LIMIT}/day"
    )
    process.start()
    yield process
    process.kill()


def children(web: Web) -> list[int]:
    """The process ids of those that serve, and do so by now."""
    found = Path(f"/proc/{web.pid}/task/{web.pid}/children").read_text().split()
    return [int(pid) for pid in found]


def lives(pid: int) -> bool:
    """Whether the process is there, and not waiting to be taken away."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    deadline = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < deadline
        sleep(0.05)


def ready(web: Web) -> bool:
    """Whether it has all that it needs, the news of the journal too."""
    try:
        return urlopen(f"{web.url}/readyz", timeout=PATIENCE).status == 200
    except HTTPError:
        return False


def connections_at(port: int) -> set[str]:
    """The sockets of a server that somebody is connected to, as processes name them."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    established = [row for row in rows if row[3] == "01" and int(row[1].partition(":")[2], 16) == port]
    return {f"socket:[{row[9]}]" for row in established}


def sockets(pid: int) -> set[str]:
    """Those that a process has."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it is closed by now
            found.add(str(descriptor.readlink()))
    return found


def status(connection: HTTPConnection) -> int:
    """That of a request over REST; the connection stays, and with it the process that answers."""
    connection.request("GET", "/api/runs/")
    answer = connection.getresponse()
    answer.read()
    return answer.status


def end_by_signal(web: Web) -> None:
    os.kill(web.pid, signal.SIGTERM)


def kill_the_parent(web: Web) -> None:
    web.kill()


def kill_a_child(web: Web) -> None:
    os.kill(children(web)[0], signal.SIGKILL)


@pytest.mark.parametrize("happens", [end_by_signal, kill_the_parent, kill_a_child])
def test_whatever_ends_one_ends_all_and_they_can_begin_anew(web: Web, happens: Callable[[Web], None]) -> None:
    # One of them may answer before there are others.
    eventually(lambda: len(children(web)) == PROCESSES)
    before = [web.pid, *children(web)]

    happens(web)

    eventually(lambda: not any(lives(pid) for pid in before))
    web.kill()
    web.start()
    eventually(lambda: ready(web))


def test_they_count_together_how_often_one_asks(web: Web) -> None:
    connections: list[HTTPConnection] = []
    statuses: list[int] = []

    def each_has_some() -> bool:
        """One more connection, unless each process has some: which takes it is not for us to say, nor when it is up."""
        found = children(web)
        if len(found) == PROCESSES and all(sockets(pid) & connections_at(web.port) for pid in found):
            return True
        connections.append(HTTPConnection("127.0.0.1", web.port, timeout=PATIENCE))
        connections[-1].connect()
        return False

    eventually(each_has_some)
    while len(statuses) < 2 * LIMIT + len(connections):
        statuses += [status(connection) for connection in connections]

    assert Counter(statuses)[200] == LIMIT
    assert set(statuses) == {200, 429}
    for connection in connections:
        connection.close()
