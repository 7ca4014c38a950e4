"""One loopback TCP port per engine, no other engine's, free when it was chosen and the same ever after
(`<home>/ports.json`)."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Container
from pathlib import Path

from services.base import EngineError
from services.remembered import remember

LOOPBACK = "127.0.0.1"
# `first-last`: ports are chosen among these numbers, and no other one is taken for being the usual one.
RANGE = "SWF_PORTS"
# Below the range from which Linux takes the local ports of outgoing connections (32768 up): a port from there
# could be in use by any client on the machine just when the server comes back from a crash.
CANDIDATES = range(20000, 32000)
TRIES = 200
# By this process, for whichever home. Free until their engines start, so looking is not enough to tell them.
_chosen: set[int] = set()


def port(home: Path, name: str, preferred: int | None = None) -> int:
    """The port of the engine `name`. To change it, stop the engines and edit `<home>/ports.json`.

    Args:
        preferred: the number that clients expect by custom; chosen when it is free and `SWF_PORTS` allows it.

    Raises:
        OSError: no free port was found.
        EngineError: `SWF_PORTS` is no range of ports.
    """
    return remember(home / "ports.json", name, lambda others: _choose(preferred, {*others, *_chosen}))


def listening(variable: str) -> tuple[str, int] | None:
    """Host and port that the environment's `variable` names, for a server that others are to reach; None without it.

    Raises:
        EngineError: it is no `host:port`.
    """
    given = os.environ.get(variable)
    if not given:
        return None
    host, _, number = given.rpartition(":")
    if not host or not number.isdigit():
        raise EngineError(f"{variable}={given!r} must be host:port, such as 0.0.0.0:8080")
    return host, int(number)


def is_free(number: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As every server here does: without it a port in TIME_WAIT, just after a restart, looks taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, number))
        except OSError:
            return False
    return True


def _choose(preferred: int | None, others: Container[int]) -> int:
    wanted = _range()
    among = wanted or CANDIDATES
    numbers = [secrets.choice(among) for _ in range(TRIES)]
    if preferred is not None and (wanted is None or preferred in wanted):
        numbers.insert(0, preferred)
    for number in numbers:
        if number not in others and is_free(number):
            _chosen.add(number)
            return number
    raise OSError(f"no free port on {LOOPBACK} among {TRIES} tried of {among[0]}-{among[-1]} ({RANGE})")


def _range() -> range | None:
    """What the user set; None when nothing is."""
    given = os.environ.get(RANGE)
    if not given:
        return None
    first, _, last = given.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last) < 65536):
        raise EngineError(f"{RANGE}={given!r} must be first-last, such as {CANDIDATES[0]}-{CANDIDATES[-1]}")
    return range(int(first), int(last) + 1)
