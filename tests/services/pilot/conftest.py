"""Fixtures of the pilots' tests with real engines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.base import Engine
from services.panda.pilot.engine import Pilots
from tests.services.pilot.processing import WALL_SECONDS, processing  # noqa: F401 - a fixture


@pytest.fixture(scope="module")
def pilots(panda: Engine) -> Iterator[Engine]:
    """Running pilots, two of each queue; no payload of theirs may take longer than `WALL_SECONDS`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SWF_PILOT_SLOTS", raising=False)
        # A task gives its jobs hours.
        patch.setenv("SWF_PILOT_WALL_SECONDS", str(WALL_SECONDS))
        running = Pilots(panda.home)
        running.start()
        yield running
        running.stop()
