"""A worker process without any database, and the other side of its bus: who sends slices, and who hears of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from kombu import Connection, Message, Queue, binding

from apps.agents.bus import slices
from apps.agents.bus.relay import _ways
from apps.agents.bus.sending import Sender
from apps.agents.bus.topology import EPICTOPIC, RESULTS_QUEUE, is_plain
from services.base import REPOSITORY
from swf_site.celery import app
from tests.engines import names_an_engine
from tests.messages import SAMPLES, a_message

NOWHERE = "postgresql://nobody:nothing@127.0.0.1:1/nowhere"
POLL_SECONDS = 0.05


def wait_until(true: Callable[[], Any], *, what: str, seconds: float = 60.0) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + seconds
    while not (answer := true()):
        assert time.monotonic() < deadline, f"not in {seconds:g} s: {what}"
        time.sleep(POLL_SECONDS)
    return answer


def a_slice(url: Path | str, first: int, last: int, **content: Any) -> dict[str, Any]:
    """A slice of a TF file, as the fastproc agent sends it."""
    where = {"file_url": str(url), "start": first, "end": last, "tf_count": last - first + 1}
    return a_message(
        "slice", content={**SAMPLES["slice"]["content"], "req_id": str(uuid4()), **where, **content}
    )


class Gate:
    """The payload of a slice that takes until the gate is opened."""

    def __init__(self, directory: Path) -> None:
        self._open = directory / f"gate-{uuid4().hex[:8]}"
        self.payload = f"sh -c 'until [ -e {self._open} ]; do sleep 0.05; done'"

    def open(self) -> None:
        """Let the slice be done."""
        self._open.touch()


class Listener:
    """Hears what workers say, as the fastproc agent does."""

    def __init__(self, broker: Connection) -> None:
        self.heard: list[dict[str, Any]] = []
        queue = Queue(RESULTS_QUEUE, durable=True)
        if not is_plain(app):
            kinds = ("slice_result", "worker_heartbeat")
            queue = Queue(
                f"listener_{uuid4().hex[:8]}",
                bindings=[binding(EPICTOPIC, routing_key=kind) for kind in kinds],
            )
        self._broker = broker
        self._consumer = broker.Consumer([queue], on_message=self._keep)
        self._consumer.consume()

    def _keep(self, message: Message) -> None:
        self.heard.append(message.decode()[0][0])
        message.ack()

    def hear(self) -> None:
        """Take what has come."""
        with suppress(TimeoutError):
            while True:
                self._broker.drain_events(timeout=POLL_SECONDS)

    def results(self) -> list[dict[str, Any]]:
        """All results so far."""
        self.hear()
        return [one for one in self.heard if one["msg_type"] == "slice_result"]

    def counts(self) -> Counter[str]:
        """How many results there are of each slice, by `req_id`."""
        return Counter(one["content"]["result"]["result"]["req_id"] for one in self.results())

    def heartbeats(self, worker_id: str) -> list[dict[str, Any]]:
        """Those of one worker so far."""
        self.hear()
        return [one for one in self.heard if one.get("worker_id") == worker_id]

    def wait_heartbeat(self, worker_id: str, **said: Any) -> dict[str, Any]:
        """The first heartbeat of a worker that says this."""

        def found() -> list[dict[str, Any]]:
            return [beat for beat in self.heartbeats(worker_id) if said.items() <= beat.items()]

        return dict(wait_until(found, what=f"a heartbeat with {said}")[0])

    def close(self) -> None:
        """Remove what the broker keeps for it."""
        self._consumer.cancel()
        self._consumer.queues[0].delete()


class WorkerProcess:
    """`manage.py worker` in an environment that names the broker and nothing else."""

    def __init__(self, home: Path, broker: dict[str, str], listener: Listener) -> None:
        self.worker_id = f"worker-{uuid4().hex[:8]}"
        self._log = home / f"{self.worker_id}.log"
        self._listener = listener
        self._environment = {
            **{name: value for name, value in os.environ.items() if not names_an_engine(name)},
            "SWF_HOME": str(home),
            "SWF_NAMESPACE": settings.SWF_NAMESPACE,
            "DATABASE_URL": NOWHERE,
            **broker,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> WorkerProcess:
        """Start it and wait until it is heard of."""
        command = [sys.executable, "manage.py", "worker", "--worker-id", self.worker_id, "--verbose"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *arguments],
                cwd=REPOSITORY,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._is_up, what=f"the worker's first heartbeat; {self.log()}")
        return self

    def _is_up(self) -> bool:
        # It may have left already, as it was told; what it said before that still comes.
        assert self.process.poll() in (None, 0), self.log()
        return bool(self._listener.heartbeats(self.worker_id))

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """As started last."""
        assert self._process is not None
        return self._process

    def log(self) -> str:
        """What it has said."""
        return self._log.read_text()

    def terminate(self) -> None:
        """Ask it to leave, as supervisor does."""
        self.process.terminate()

    def wait(self) -> dict[str, Any]:
        """Its summary, once it has left."""
        assert self.process.wait(60) == 0, self.log()
        return dict(json.loads(self.log().splitlines()[-1]))

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def broadcast(msg_type: str, **fields: Any) -> None:
    """Say something to all, as the relay does."""
    sender = Sender()
    sender.send(list(_ways(a_message(msg_type, namespace=settings.SWF_NAMESPACE, **fields))))
    sender.close()


def send(*bodies: dict[str, Any]) -> list[str]:
    """Give slices out; their `req_id`."""
    slices.send_slices(bodies)
    return [body["content"]["req_id"] for body in bodies]
