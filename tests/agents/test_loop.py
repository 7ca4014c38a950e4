"""A loop outlives whatever its step meets, says why it waits, and ends when told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from django.db import OperationalError

from apps.agents.bus import loop as loops
from apps.agents.bus.agent import LoopSpec
from apps.agents.bus.loop import Loop
from apps.runs.errors import RetryableError
from apps.runs.journal import current_cause

DEADLINE_SECONDS = 60.0
FOR_EVER = 3600.0

Begin = Callable[..., Loop]


def until(reached: Callable[[], object]) -> None:
    """Wait until something is so, or fail."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not reached():
        assert time.monotonic() < deadline
        threading.Event().wait(0.002)


class Work:
    """A step that does what it is told, and counts."""

    def __init__(self) -> None:
        self.trouble: Exception | None = None
        self.left = 0
        self.calls = 0

    def __call__(self) -> bool:
        self.calls += 1
        if self.trouble:
            raise self.trouble
        self.left = max(0, self.left - 1)
        return self.left > 0


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def begin(work: Work, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Start a loop over `work` that backs off briefly; it is stopped at the end."""
    monkeypatch.setattr(loops, "BACK_OFF_FIRST", 0.002)
    monkeypatch.setattr(loops, "BACK_OFF_MOST", 0.01)
    started: list[Loop] = []

    def _begin(*, interval: float = FOR_EVER, **calls: Callable[[], object]) -> Loop:
        loop = Loop(LoopSpec("work", work, interval=interval), actor="data", **calls)
        loop.start()
        started.append(loop)
        return loop

    yield _begin
    for loop in started:
        loop.stop()
        loop.join(DEADLINE_SECONDS)
        assert not loop.is_alive()


def test_a_loop_works_while_there_is_more_and_then_waits(begin: Begin, work: Work) -> None:
    work.left = 5
    loop = begin()
    until(lambda: loop.steps == 5)

    assert work.calls == 5


def test_a_woken_loop_works_at_once(begin: Begin, work: Work) -> None:
    loop = begin()
    until(lambda: loop.steps == 1)
    loop.wake()
    until(lambda: loop.steps == 2)


def test_a_step_begins_when_what_is_more_urgent_has_passed(begin: Begin, work: Work) -> None:
    asked, passed = threading.Event(), threading.Event()

    def make_way() -> None:
        asked.set()
        passed.wait(DEADLINE_SECONDS)

    loop = begin(make_way=make_way)
    assert asked.wait(DEADLINE_SECONDS)
    assert work.calls == 0

    passed.set()
    until(lambda: loop.steps == 1)


def test_a_loop_that_nobody_wakes_works_every_interval(begin: Begin) -> None:
    loop = begin(interval=0.002)
    until(lambda: loop.steps >= 3)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (RetryableError("Rucio does not answer: refused"), "Rucio does not answer: refused"),
        (OperationalError("server closed\nthe connection"), "the database does not answer: server closed"),
        (KeyError("E1_MARS"), "KeyError: 'E1_MARS' (see this agent's log)"),
    ],
)
def test_a_loop_in_trouble_says_why_tries_again_and_recovers(
    begin: Begin, work: Work, trouble: Exception, said: str
) -> None:
    changes: list[str] = []
    loop = begin(changed=lambda: changes.append(loop.waiting_for))
    until(lambda: loop.steps == 1)
    work.trouble = trouble
    loop.wake()
    until(lambda: work.calls >= 5)
    assert loop.waiting_for == said
    assert loop.steps == 1

    work.trouble = None
    until(lambda: len(changes) == 2)
    assert changes == [said, ""]


def test_the_pauses_of_a_loop_in_trouble_grow(
    begin: Begin, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "BACK_OFF_FIRST", 0.01)
    monkeypatch.setattr(loops, "BACK_OFF_MOST", FOR_EVER)
    work.trouble = RetryableError("away")
    started = time.monotonic()
    begin()
    until(lambda: work.calls == 4)

    assert time.monotonic() - started >= 0.01 + 0.02 + 0.04


def test_a_loop_that_makes_way_is_stopped_without_another_step(begin: Begin, work: Work) -> None:
    asked, passed = threading.Event(), threading.Event()
    loop = begin(make_way=lambda: (asked.set(), passed.wait(DEADLINE_SECONDS)))
    assert asked.wait(DEADLINE_SECONDS)
    loop.stop()
    passed.set()
    loop.join(DEADLINE_SECONDS)

    assert not loop.is_alive()
    assert work.calls == 0


def test_a_loop_that_backs_off_is_stopped_at_once(
    begin: Begin, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "BACK_OFF_FIRST", FOR_EVER)
    work.trouble = RetryableError("away")
    loop = begin()
    until(lambda: loop.waiting_for)
    loop.stop()
    loop.join(DEADLINE_SECONDS)

    assert not loop.is_alive()


def test_a_stopped_loop_finishes_its_step() -> None:
    entered, leave = threading.Event(), threading.Event()

    def step() -> bool:
        entered.set()
        return leave.wait(DEADLINE_SECONDS)

    loop = Loop(LoopSpec("work", step), actor="data")
    loop.start()
    assert entered.wait(DEADLINE_SECONDS)
    loop.stop()
    assert loop.is_alive()
    leave.set()
    loop.join(DEADLINE_SECONDS)

    assert loop.steps == 1


def test_what_a_step_writes_is_written_in_the_agents_name() -> None:
    actors: list[str] = []
    spec = LoopSpec("work", lambda: bool(actors.append(current_cause().actor)), interval=FOR_EVER)
    loop = Loop(spec, actor="data")
    loop.start()
    until(lambda: actors)
    loop.stop()
    loop.join(DEADLINE_SECONDS)

    assert actors == ["data"]
