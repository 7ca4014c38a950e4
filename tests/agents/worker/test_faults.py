"""The broker goes away while a worker has a slice in hand: its result comes when the broker is back, and it goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection
from kombu import Connection

from apps.runs.errors import RetryableError
from services.activemq.engine import ActiveMQ
from tests.agents.test_relay import sessions
from tests.engines import require

from .process import Gate, Listener, WorkerProcess, a_slice, send, wait_until

# The sockets of a killed broker's clients are left to the collector.
pytestmark = [pytest.mark.services, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]

Start = Callable[..., WorkerProcess]


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ActiveMQ]:
    """A broker that may be killed."""
    require("activemq")
    engine = ActiveMQ(tmp_path_factory.mktemp("mq"))
    engine.start()
    yield engine
    engine.stop()


@pytest.mark.parametrize("bus_url", ["mortal"], indirect=True)
def test_a_broker_that_is_killed(
    mortal: ActiveMQ, bus: Connection, a_worker: Start, listener: Listener, tf_file: Path, tmp_path: Path
) -> None:
    worker, gate = a_worker(), Gate(tmp_path)
    [first] = send(a_slice(tf_file, 100, 101, payload=gate.payload))
    listener.wait_heartbeat(worker.worker_id, req_id=first)
    assert mortal.pid is not None
    os.killpg(mortal.pid, signal.SIGKILL)
    mortal.stop()
    gate.open()
    wait_until(lambda: " done in " in worker.log(), what="the slice is done")
    mortal.start()

    with Connection(bus.as_uri(include_password=True), transport_options=bus.transport_options) as again:
        anew = Listener(again)
        wait_until(lambda: anew.counts()[first], what="its result", seconds=120)
        following = a_slice(tf_file, 102, 103)
        with pytest.raises(RetryableError, match="the broker does not take messages"):
            send(following)  # over the connection that broke
        [second] = send(following)
        wait_until(lambda: anew.counts()[second], what="the next slice", seconds=120)
        # ActiveMQ forgets what it has delivered before: the slice may come a second time.
        assert anew.counts().keys() == {first, second}
        anew.close()


@pytest.mark.parametrize("bus_url", ["pgmq"], indirect=True)
def test_connections_that_break(a_worker: Start, listener: Listener, tf_file: Path, tmp_path: Path) -> None:
    others = sessions()
    worker, gate = a_worker(), Gate(tmp_path)
    [first] = send(a_slice(tf_file, 100, 101, payload=gate.payload))
    listener.wait_heartbeat(worker.worker_id, req_id=first)
    with connection.cursor() as cursor:
        theirs = list(sessions() - others)
        cursor.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid", [theirs])
    gate.open()
    wait_until(lambda: listener.counts()[first], what="its result")
    [second] = send(a_slice(tf_file, 102, 103))
    wait_until(lambda: listener.counts()[second], what="the next slice")
    assert listener.counts() == {first: 1, second: 1}
