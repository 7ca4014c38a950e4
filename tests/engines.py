"""Real engines for the tests: one temporary home, each engine started when the first test asks for it.

To be imported before Django's settings: they take the addresses of the engines from `SWF_HOME`, which must be the
tests' own one. What the caller's shell says about other engines is forgotten on purpose.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from services import ports
from services.base import REPOSITORY, Engine, default_home
from services.registry import CLASSES, engine

_FAMILIES = ("SWF_", "RUCIO_", "ACTIVEMQ_", "PANDA", "OIDC_")


def names_an_engine(variable: str) -> bool:
    """Whether the environment variable says where a testbed or one of its engines is."""
    return variable != ports.RANGE and (
        variable.startswith(_FAMILIES) or variable in ("DATABASE_URL", "BROKER_URL")
    )


for _kind in CLASSES:
    os.environ.pop(_kind.selected_by, None)
os.environ.pop("BROKER_URL_FILE", None)
os.environ["SWF_TRANSFER"] = "posix"  # in milliseconds; the tests of XRootD switch over
os.environ["SWF_ANONYMOUS_READ"] = "true"  # tests look at pages as nobody; those of access say who looks
os.environ["SWF_HOME"] = tempfile.mkdtemp(prefix="swf-test-")
atexit.register(shutil.rmtree, os.environ["SWF_HOME"], ignore_errors=True)
os.environ["SECRET_KEY"] = "for tests only"
# A number is free until its engine starts, which may be much later. So no two processes choose among the same, nor do the
# testbeds that they start, and none takes the numbers that the world expects: these belong to a testbed in use.
_first = 10_000 + 2_500 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
os.environ[ports.RANGE] = f"{_first}-{_first + 2_499}"


class Engines:
    """The engines of the tests' home; a started one runs until the session ends."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._started: dict[str, Engine] = {}

    def start(self, name: str) -> Engine:
        """The engine `name`, running."""
        if name not in self._started:
            chosen = engine(name, self.home)
            chosen.start()
            self._started[name] = chosen
        return self._started[name]

    def stop(self, but: str = "") -> None:
        """Stop them all, or all but one, the last one first."""
        for name in [name for name in reversed(self._started) if name != but]:
            self._started.pop(name).stop()


@pytest.fixture(scope="session")
def engines() -> Iterator[Engines]:
    """All engines; stopped at the end of the session."""
    running = Engines(default_home())
    yield running
    running.stop()


@pytest.fixture(scope="session")
def postgres(engines: Engines) -> Engine:
    """A running PostgreSQL."""
    return engines.start("postgres")


@pytest.fixture(scope="session")
def rucio(engines: Engines, postgres: Engine) -> Engine:
    """A running Rucio on that PostgreSQL, making copies by POSIX means."""
    if not os.environ.get("SWF_RUCIO_PYTHON") and not (REPOSITORY / ".venv-rucio").exists():
        pytest.skip(
            "Rucio's environment is missing: ./swf-testbed makes .venv-rucio, or name one in SWF_RUCIO_PYTHON"
        )
    return engines.start("rucio")


@pytest.fixture(scope="session")
def panda(engines: Engines, rucio: Engine) -> Engine:
    """A running PanDA-compatible server on that PostgreSQL and Rucio."""
    return engines.start("panda")


@pytest.fixture(scope="session")
def activemq(engines: Engines) -> Engine:
    """A running ActiveMQ."""
    require("activemq")
    return engines.start("activemq")


@pytest.fixture(scope="session")
def rabbitmq(engines: Engines) -> Engine:
    """A running RabbitMQ."""
    require("rabbitmq")
    return engines.start("rabbitmq")


def require(name: str) -> None:
    """Go on if this machine has what the engine needs; else the test is skipped, or fails in CI (`CI=true`)."""
    reason = engine(name).missing()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
