"""A whole testbed of its own, started by the command a user types."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.base import REPOSITORY
from services.bus import BROKERS, Bus
from tests.engines import Engines, names_an_engine

from .testbed import Testbed

# What the tests' own engines put into this process's environment must not reach the testbed under test.
FOREIGN = ("SECRET_KEY", "DJANGO_SETTINGS_MODULE")


@pytest.fixture(scope="session", autouse=True)
def _machine_of_its_own(engines: Engines) -> None:
    """These tests come last: what others have started ends, but the database, where theirs is to be dropped."""
    engines.stop(but="postgres")


@pytest.fixture(scope="session")
def testbed(request: pytest.FixtureRequest) -> Iterator[Testbed]:
    """A running testbed in a temporary home, copying by POSIX means; ended and removed afterwards.

    Its parameter is the bus, `pgmq` if there is none. The tests of one bus share it: they count what their own runs did.
    """
    bus = Bus(getattr(request, "param", Bus.PGMQ))
    if (kind := BROKERS.get(bus)) and (reason := kind(Path("/nowhere")).missing()):
        pytest.skip(reason)
    home = Path(tempfile.mkdtemp(prefix="swf-system-"))
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in FOREIGN and (name == "SWF_RUCIO_PYTHON" or not names_an_engine(name))
    }
    environment |= {"SWF_HOME": str(home), "SWF_TRANSFER": "posix", "SWF_ANONYMOUS_READ": "true"}
    command = [str(REPOSITORY / "swf-testbed")]
    try:
        subprocess.run([*command, "start-local", "--bus", bus], env=environment, check=True, timeout=480)
        running = Testbed(home, environment, bus)
        yield running
        running.close()
    finally:
        subprocess.run([*command, "stop-local"], env=environment, check=False, timeout=240)
        shutil.rmtree(home, ignore_errors=True)
