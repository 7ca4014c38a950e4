"""Several processes that do the same, and live and die together.

They share the memory of what was loaded before: uvicorn's own workers would each load all of it, for twice as much.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType


def together(work: Callable[[], None], number: int) -> None:
    """Have `work` done in so many processes: in this one, or else in children of this one, which ends with them.

    A signal to this process ends all. So does the end of any of them, after which whoever keeps this process alive begins
    anew; and they do not outlive it if it is killed.

    Raises:
        SystemExit: a child has ended by itself.
    """
    if number == 1:
        work()
        return
    # Nothing is ever written: it ends with this process.
    alive, kept = os.pipe()
    children = {_forked(work, alive, kept) for _ in range(number)}
    os.close(alive)
    asked = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        _end(children)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, end)
    while children:
        pid, _ = os.wait()
        children.discard(pid)
        if not asked:
            _end(children)
    if not asked:
        sys.exit("one of the processes has ended: so do all")


def _forked(work: Callable[[], None], alive: int, kept: int) -> int:
    child = os.fork()
    if child:
        return child
    os.close(kept)
    threading.Thread(target=_outlive_nobody, args=(alive,), daemon=True).start()
    try:
        work()
    except Exception:  # noqa: BLE001 - a child must not go on with what its parent was about to do
        traceback.print_exc()
    finally:
        os._exit(1)


def _outlive_nobody(alive: int) -> None:
    os.read(alive, 1)
    os._exit(1)


def _end(children: set[int]) -> None:
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)
