"""The loop of Rucio's daemons: urgent requests go first, a failing daemon holds up no other."""

from __future__ import annotations

import threading
import time

import pytest

from services.loop import Step
from services.rucio.server import loop as loops
from services.rucio.server.loop import DaemonLoop

PATIENCE = 60.0


def _running(*steps: Step) -> tuple[DaemonLoop, threading.Event]:
    wake = threading.Event()
    loop = DaemonLoop(steps, wake)
    loop.start()
    return loop, wake


def test_no_step_begins_while_a_request_is_urgent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "LONGEST_YIELD_SECONDS", PATIENCE)
    begun = threading.Semaphore(0)
    loop, wake = _running(Step("copies", lambda: begun.release() or 0))
    assert begun.acquire(timeout=PATIENCE)
    with loop.yielding():
        while begun.acquire(timeout=0.2):  # one that had begun before
            pass
        wake.set()
        assert not begun.acquire(timeout=0.2)
    assert begun.acquire(timeout=PATIENCE)


def test_an_urgent_request_that_hangs_does_not_starve_the_daemons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "LONGEST_YIELD_SECONDS", 0.05)
    begun = threading.Semaphore(0)
    loop, wake = _running(Step("copies", lambda: begun.release() or 0))
    with loop.yielding():
        for _ in range(3):
            wake.set()
            assert begun.acquire(timeout=PATIENCE)


def test_a_failing_daemon_is_named_and_the_others_go_on() -> None:
    begun = threading.Semaphore(0)

    mended = threading.Event()

    def fail() -> int:
        if not mended.is_set():
            raise RuntimeError("no such table")
        return 0

    loop, wake = _running(Step("finisher", fail), Step("copies", lambda: begun.release() or 0))
    assert begun.acquire(timeout=PATIENCE)
    assert loop.reason() == "finisher failing: no such table"
    mended.set()
    deadline = time.monotonic() + PATIENCE
    while loop.reason() and time.monotonic() < deadline:
        wake.set()
    assert loop.reason() is None


@pytest.mark.parametrize(("copying", "longest"), [(0.2, PATIENCE), (PATIENCE, 0.2)])
def test_what_can_wait_stands_back_while_copies_move_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, copying: float, longest: float
) -> None:
    monkeypatch.setattr(loops, "COPYING_SECONDS", copying)
    monkeypatch.setattr(loops, "LONGEST_STAND_BACK_SECONDS", longest)
    loop = DaemonLoop([], threading.Event())
    began = time.monotonic()
    loop.do(Step("submitter", lambda: 1))
    loop.stand_back()
    assert 0.2 <= time.monotonic() - began < PATIENCE


def test_nothing_stands_back_for_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = DaemonLoop([], threading.Event())
    monkeypatch.setattr(loops, "COPYING_SECONDS", PATIENCE)
    monkeypatch.setattr(loops, "LONGEST_STAND_BACK_SECONDS", PATIENCE)
    loop.do(Step("evaluator", lambda: 1))
    began = time.monotonic()
    loop.stand_back()
    assert time.monotonic() - began < PATIENCE
