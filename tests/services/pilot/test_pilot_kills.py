"""A pilot killed at any instant: before and after each thing that it says, asks, writes or removes."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from services.panda.pilot import attempt, directory, patience, payload, staging
from services.panda.pilot.patience import Stop
from tests.services.pilot.fakes import described
from tests.services.pilot.world import OUTPUT, World, recover

MOST_INSTANTS = 300


class Killed(BaseException):
    """The process is dead; nothing of it runs any more."""


class Fuse:
    """Kills at the n-th instant, counted over all watched calls, once."""

    def __init__(self, burns_at: int) -> None:
        self.left = burns_at

    def tick(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def watched(*arguments: Any, **named: Any) -> Any:
            self.tick()
            answer = call(*arguments, **named)
            self.tick()
            return answer

        return watched


@pytest.fixture
def locks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Descriptors of the locks of directories, which the system takes from a dead process."""
    held: list[int] = []
    locked = directory._locked

    def remembered(path: Path) -> int | None:
        lock = locked(path)
        if lock is not None:
            held.append(lock)
        return lock

    monkeypatch.setattr(directory, "_locked", remembered)
    yield held
    release(held)


def release(held: list[int]) -> None:
    while held:
        try:
            os.close(held.pop())
        except OSError:
            continue


def piecemeal(path: Path, tick: Callable[[], None]) -> None:
    """`rmtree`, which can be interrupted after each file; in an order that it may have as well."""
    for one in sorted(path.rglob("*"), key=lambda one: (-len(one.parts), one.name)):
        one.rmdir() if one.is_dir() and not one.is_symlink() else one.unlink()
        tick()
    if path.exists():
        path.rmdir()


def arm(world: World, fuse: Fuse, patch: pytest.MonkeyPatch) -> None:
    """Watch all that leaves the process."""
    for thing, names in (
        (world.panda, ("update", "status")),
        (world.catalogue, ("replicas", "register", "withdraw")),
        (directory, ("_write",)),
        (staging, ("copy_file", "unpack", "pack_log")),
        (payload, ("run",)),
    ):
        for name in names:
            patch.setattr(thing, name, fuse.around(getattr(thing, name)))
    patch.setattr(shutil, "rmtree", lambda path, ignore_errors: piecemeal(path, fuse.tick))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kill", [False, True], ids=["left alone", "killed by PanDA too"])
def test_nothing_is_lost_or_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: list[int], *, kill: bool
) -> None:
    monkeypatch.setattr(attempt, "HEARTBEAT_SECONDS", 0.0)
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.0)
    ends = set()
    for instant in itertools.count(1):
        assert instant < MOST_INSTANTS
        world = World(tmp_path / str(instant))
        job = described(command="cat %IN > out.txt")
        world.panda.give_out(job)
        with monkeypatch.context() as patch:
            arm(world, Fuse(instant), patch)
            try:
                world.pilot.do(job)
                survived = True
            except Killed:
                survived = False
        release(locks)
        if kill and world.panda.states[7] == "running":
            world.panda.states[7] = "cancelled"
        world.stop = Stop()
        recover(world)
        ends.add(state := assert_all_or_nothing(world))
        if survived:
            assert state == "finished"
            break
    assert ends >= {"finished", "cancelled" if kill else "failed"}


def assert_all_or_nothing(world: World) -> str:
    """A job that is reported as finished has its outputs, any other has none; which of both it is."""
    state = world.panda.states[7]
    if state in ("sent", "cancelled"):  # PanDA gives up by itself what no pilot speaks of
        finished = False
    else:
        assert state == "holding"
        first = next(one for one in world.panda.reports if one["job_status"] != "running")
        finished = first["job_status"] == "finished"
        state = first["job_status"]
    stored = world.catalogue.stored()
    assert stored == world.catalogue.outputs == ({OUTPUT} if finished else set())
    return str(state)
