"""A whole testbed of its own, started by the command a user types."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.bus import Bus
from tests.engines import Engines

from .testbed import Testbed, running


@pytest.fixture(scope="session", autouse=True)
def _machine_of_its_own(engines: Engines) -> None:
    """These tests come last: what others have started ends, but the database, where theirs is to be dropped."""
    engines.stop(but="postgres")


@pytest.fixture(scope="session")
def testbed(request: pytest.FixtureRequest) -> Iterator[Testbed]:
    """A running testbed. Its parameter is the bus, `pgmq` if there is none.

    The tests of one bus share it: they count what their own runs did.
    """
    with running(Bus(getattr(request, "param", Bus.PGMQ))) as testbed:
        yield testbed
