"""The methods `system/...`."""

from __future__ import annotations

from services.panda.server.envelope import Call, Reply, method, ok


@method("system/is_alive", secure=False)
def is_alive(call: Call) -> Reply:
    """The server answers."""
    return ok()
