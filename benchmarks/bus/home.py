"""A temporary home with engines of its own, each reachable at the address that the testbed would give it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from services import ports
from services.activemq.engine import ActiveMQ
from services.base import REPOSITORY, Engine
from services.bus import Bus, choose_bus
from services.postgres.engine import Postgres
from services.rabbitmq.engine import RabbitMQ
from services.registry import CLASSES


@dataclass(frozen=True)
class Buses:
    """Running engines. `urls` holds the buses that this machine has, by scheme; `missing` says why others are not in it."""

    home: Path
    urls: dict[str, str]
    missing: dict[str, str]
    activemq: ActiveMQ
    postgres: Postgres


@contextmanager
def running_buses() -> Iterator[Buses]:
    """Engines in a new home, to which this process's environment, and so its children's, points."""
    with tempfile.TemporaryDirectory(prefix="swf-bus-") as directory, ExitStack() as stack:
        home = Path(directory)
        _use(home)
        postgres, activemq, rabbitmq = Postgres(home), ActiveMQ(home), RabbitMQ(home)
        of_scheme: dict[str, Engine] = {"stomp": activemq, "amqp": rabbitmq, "pgmq": postgres}
        missing = {scheme: reason for scheme, one in of_scheme.items() if (reason := one.missing())}
        with ThreadPoolExecutor() as pool:
            started = {
                scheme: pool.submit(_start, stack, one)
                for scheme, one in of_scheme.items()
                if scheme not in missing
            }
            started["pgmq"].result()
            _prepare_database()
            for one in started.values():
                one.result()
        urls = {
            "stomp": _stomp_url(activemq),
            "amqp": rabbitmq.environment()["BROKER_URL"],
            "pgmq": postgres.environment()["BROKER_URL"],
        }
        yield Buses(home, {scheme: urls[scheme] for scheme in started}, missing, activemq, postgres)


def use_activemq(home: Path) -> None:
    """From now on the testbed of this home has its messages on ActiveMQ."""
    choose_bus(home, Bus.ACTIVEMQ)


def _use(home: Path) -> None:
    for kind in CLASSES:
        os.environ.pop(kind.selected_by, None)
    os.environ.pop("BROKER_URL_FILE", None)
    os.environ.update({"SWF_HOME": str(home), "SECRET_KEY": secrets.token_hex()})
    # The numbers that the world expects belong to a testbed in use.
    os.environ.setdefault(ports.RANGE, f"{ports.CANDIDATES[0]}-{ports.CANDIDATES[-1]}")


def _start(stack: ExitStack, engine: Engine) -> None:
    stack.callback(engine.stop)
    engine.start()


def _prepare_database() -> None:
    """Make the testbed's tables, and PostgreSQL a bus, which it is until another one is chosen."""
    for command in (["migrate", "--no-input"], ["prepare_broker"]):
        subprocess.run(
            [sys.executable, "manage.py", *command, "--verbosity=0"],
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            check=True,
        )


def _stomp_url(activemq: ActiveMQ) -> str:
    at = activemq.environment()
    return f"stomp://{at['ACTIVEMQ_USER']}:{at['ACTIVEMQ_PASSWORD']}@{at['ACTIVEMQ_HOST']}:{activemq.port}//"
