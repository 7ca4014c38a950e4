"""The pilots' parent: when it starts a pilot again, and how it ends them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from services.panda.pilot import supervisor
from services.panda.pilot.supervisor import LONGEST_PAUSE, Slot
from tests.processes import gone
from tests.services.catalogue import poll


class FakeProcess:
    """A pilot that ends when the test says so."""

    def __init__(self) -> None:
        self.status: int | None = None

    def poll(self) -> int | None:
        return self.status


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time, and the pilots that were started."""
    world = SimpleNamespace(now=100.0, started=[])

    def start(*_: object, **__: object) -> FakeProcess:
        world.started.append(FakeProcess())
        return world.started[-1]

    monkeypatch.setattr(supervisor.time, "monotonic", lambda: world.now)
    monkeypatch.setattr(supervisor.subprocess, "Popen", start)
    return world


def test_pilot_that_worked_is_started_again_at_once(clock: SimpleNamespace) -> None:
    slot = Slot("E1_BNL", 1, {})
    for times in range(1, 5):
        slot.keep_alive()
        slot.keep_alive()
        assert len(clock.started) == times
        clock.now += 60
        clock.started[-1].status = -9


def test_pilot_that_dies_at_once_is_started_ever_more_slowly(clock: SimpleNamespace) -> None:
    slot = Slot("E1_BNL", 1, {})
    slot.keep_alive()
    pauses = []
    for _ in range(6):
        clock.started[-1].status = 1
        died, count = clock.now, len(clock.started)
        while len(clock.started) == count:
            slot.keep_alive()
            clock.now += 0.1
        pauses.append(clock.now - died)
    assert pauses[0] < 1
    assert pauses == sorted(pauses)
    assert LONGEST_PAUSE <= pauses[-1] < LONGEST_PAUSE + 1


@pytest.fixture
def stubborn() -> Iterator[Slot]:
    """A slot whose pilot does not listen."""
    slot = Slot("E1_BNL", 1, {})
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(99)"
    slot._process = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    assert slot._process.stdout is not None
    slot._process.stdout.readline()
    yield slot
    slot._process.kill()
    slot._process.communicate()


def test_pilot_that_does_not_end_is_killed(stubborn: Slot) -> None:
    assert stubborn._process is not None
    stubborn.end()
    stubborn.wait(time.monotonic() + 0.2)
    poll(lambda: stubborn._process is not None and gone(stubborn._process.pid))
