"""A real ActiveMQ, and real Celery workers on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from apps.agents.bus.stomp import register
from services.base import REPOSITORY, Engine

register()


def eventually(condition: Callable[[], Any], *, seconds: float = 20.0, what: str = "the condition") -> Any:
    """The first true value of `condition()`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come about in {seconds} s"
        time.sleep(0.02)
    return value


class Worker:
    """One Celery worker process."""

    def __init__(self, directory: Path, broker: str, pool: str, **environment: str) -> None:
        self.name = f"w{uuid.uuid4().hex[:8]}"
        self.witness = directory / "witness"
        self.log = directory / f"{self.name}.log"
        self.environment = {
            "PATH": os.environ["PATH"],
            "BROKER": broker,
            "WITNESS": str(self.witness),
            "PYTHONPATH": str(REPOSITORY),
            "BACKEND": f"file://{directory}",
            **environment,
        }
        self._arguments = [
            "--pool",
            pool,
            "--hostname",
            self.name,
            "--loglevel",
            "INFO",
            "--concurrency",
            "2",
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> Worker:
        """Start it and wait until it consumes."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "celery", "-A", "tests.agents.stomp.app", "worker"),
                    *self._arguments,
                    *arguments,
                ],
                env=self.environment,
                cwd=REPOSITORY,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually(lambda: " ready." in self.log.read_text(), what=f"the worker's start, see {self.log}")
        return self

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """Of the worker started last."""
        assert self._process is not None
        return self._process

    def kill(self) -> None:
        """SIGKILL for it and all its children."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Warm shutdown."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
                raise

    def seen(self, kind: str) -> list[list[Any]]:
        """What tasks wrote, without times."""
        if not self.witness.exists():
            return []
        lines = [json.loads(line) for line in self.witness.read_text().splitlines()]
        return [line[2:] for line in lines if line[1] == kind]

    def times(self, kind: str) -> list[float]:
        """When they wrote it."""
        lines = [json.loads(line) for line in self.witness.read_text().splitlines()]
        return [line[0] for line in lines if line[1] == kind]


def url_of(engine: Engine, scheme: str = "stomp") -> str:
    """The broker as kombu's URL."""
    at = engine.environment()
    return (
        f"{scheme}://{at['ACTIVEMQ_USER']}:{at['ACTIVEMQ_PASSWORD']}"
        f"@{at['ACTIVEMQ_HOST']}:{at['ACTIVEMQ_STOMP_PORT']}//"
    )


@pytest.fixture(scope="session")
def broker(activemq: Engine) -> str:
    """URL of a running broker."""
    return url_of(activemq)


@pytest.fixture
def connect(broker: str) -> Iterator[Callable[..., Connection]]:
    """Makes connections, with transport options as keywords."""
    made = []

    def make(**options: Any) -> Connection:
        connection = Connection(broker, transport_options=options)
        connection.connect()
        made.append(connection)
        return connection

    yield make
    for connection in made:
        connection.release()


@pytest.fixture
def name() -> str:
    """A name that nothing on the broker has."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def worker(broker: str, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Makes workers; they end with the test."""
    made: list[Worker] = []

    def make(pool: str, *arguments: str, broker: str = broker, **environment: str) -> Worker:
        made.append(Worker(tmp_path, broker, pool, **environment))
        return made[-1].start(*arguments)

    yield make
    for one in made:
        one.stop()
