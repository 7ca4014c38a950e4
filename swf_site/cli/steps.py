"""Steps that wait for one another: each starts as soon as those it comes after are done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Protocol


class Watcher(Protocol):
    """Shows how steps go; called from one thread."""

    def begin(self, name: str) -> None:
        """A step has begun."""

    def finish(self, name: str, note: str) -> None:
        """A step is done; `note` says how ("ready", "was running")."""

    def fail(self, name: str) -> None:
        """A step has failed."""


@dataclass(frozen=True)
class Step:
    """Something to do once the steps named in `after` are done; names that no step has count as done.

    The action returns a word on how it went. The event it is given is set when another step has failed: it
    should then return soon.
    """

    name: str
    action: Callable[[threading.Event], str]
    after: Sequence[str] = ()


def run_steps(steps: Sequence[Step], watcher: Watcher) -> None:
    """Run all steps. The first exception of one gives up the others and is raised when they have returned."""
    names = {step.name for step in steps}
    waiting, done = list(steps), set[str]()
    running: dict[Future[str], Step] = {}
    give_up = threading.Event()
    with ThreadPoolExecutor(max_workers=len(steps)) as pool:
        try:
            while waiting or running:
                for step in [step for step in waiting if names.intersection(step.after) <= done]:
                    waiting.remove(step)
                    watcher.begin(step.name)
                    running[pool.submit(step.action, give_up)] = step
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    step = running.pop(future)
                    if (error := future.exception()) is not None:
                        watcher.fail(step.name)
                        raise error
                    watcher.finish(step.name, future.result())
                    done.add(step.name)
        finally:
            give_up.set()
