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
from kombu import Connection, Message

from apps.agents.bus.stomp import register
from services.activemq.engine import ActiveMQ
from services.base import REPOSITORY, Engine

register()
KEYSTORE_PASSWORD = "changeit"


def eventually(condition: Callable[[], Any], *, seconds: float = 60.0, what: str = "the condition") -> Any:
    """The first true value of `condition()`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come about in {seconds} s"
        time.sleep(0.02)
    return value


def taken(connection: Connection, queue: str, **options: Any) -> Message:
    """The next message of the queue, which is there; `basic_get` looks for it for a second only."""
    found: Message = eventually(
        lambda: connection.default_channel.basic_get(queue, **options), what=f"a message of {queue}"
    )
    return found


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
            "QUEUE": f"work-{self.name}",
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
        starts = self._starts()
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
        eventually(lambda: self._starts() > starts, what=f"the worker's start, see {self.log}")
        return self

    def _starts(self) -> int:
        return self.log.read_text().count(" ready.") if self.log.exists() else 0

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """Of the worker started last."""
        assert self._process is not None
        return self._process

    def kill(self) -> None:
        """SIGKILL for it and all its children, if it still runs."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        """Warm shutdown."""
        self.process.terminate()
        self.process.wait(60)

    def seen(self, kind: str) -> list[list[Any]]:
        """What tasks wrote, without times."""
        return [line[2:] for line in self._lines() if line[1] == kind]

    def times(self, kind: str) -> list[float]:
        """When they wrote it."""
        return [line[0] for line in self._lines() if line[1] == kind]

    def _lines(self) -> list[Any]:
        """What tasks have written so far; of a line that is just being written, half may be there."""
        if not self.witness.exists():
            return []
        whole, _, _ = self.witness.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]


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


def openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority's `ca.pem`, with its word for a broker at the loopback address (`broker.p12`) and for a `client.pem`."""
    directory = tmp_path_factory.mktemp("tls")
    new = ("req", "-newkey", "rsa:2048", "-nodes", "-subj")
    # Python 3.13 takes no authority whose certificate does not say that it may sign.
    signs = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl(directory, *new, "/CN=Test authority", "-x509", *signs, "-keyout", "ca.key", "-out", "ca.pem")
    (directory / "san").write_text("authorityKeyIdentifier=keyid\nsubjectAltName=IP:127.0.0.1")
    for whose in ("broker", "client"):
        openssl(directory, *new, f"/CN={whose}", "-keyout", f"{whose}.key", "-out", f"{whose}.csr")
        openssl(
            directory,
            *("x509", "-req", "-in", f"{whose}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-extfile", "san", "-out", f"{whose}.pem"),
        )
    openssl(
        directory,
        *("pkcs12", "-export", "-in", "broker.pem", "-inkey", "broker.key", "-out", "broker.p12"),
        *("-passout", f"pass:{KEYSTORE_PASSWORD}"),
    )
    return directory


@pytest.fixture(scope="session")
def mortal(
    activemq: Engine, certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ActiveMQ]:
    """A second broker, which may be killed; it serves TLS as well."""
    engine = ActiveMQ(tmp_path_factory.mktemp("mq"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACTIVEMQ_KEYSTORE", str(certificates / "broker.p12"))
        patch.setenv("ACTIVEMQ_KEYSTORE_PASSWORD", KEYSTORE_PASSWORD)
        engine.start()
        yield engine
        engine.stop()


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
        one.kill()
