"""Fixtures of the pilots' tests, with real engines and without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.base import Engine
from services.panda.pilot import attempt, patience, payload
from services.panda.pilot.engine import Pilots
from tests.services.pilot.processing import (
    SHORT_WALL_SECONDS,
    WALL_SECONDS,
    processing,  # noqa: F401 - a fixture
)
from tests.services.pilot.world import World


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


@pytest.fixture
def hasty(pilots: Engine) -> Iterator[None]:
    """These pilots, but no payload may take longer than `SHORT_WALL_SECONDS`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWF_PILOT_WALL_SECONDS", str(SHORT_WALL_SECONDS))
        pilots.stop()
        pilots.start()
        yield
    pilots.stop()
    pilots.start()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A pilot that does not wait long for anything."""
    monkeypatch.setattr(attempt, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(payload, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(payload, "WEIGH_SECONDS", 0.05)
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(patience, "GRACE_SECONDS", 0.2)
    return World(tmp_path)
