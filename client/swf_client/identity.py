"""Who an agent is: a name that no other agent has, the same after a restart."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from .rest import Rest
from .state import State

_AGENT_ID = "agent_id"


def agent_name(rest: Rest, state: State, agent_type: str, user: str = "") -> str:
    """`{type}-agent-{user}-{id}`; the id is the testbed's, asked for once and then kept in `state`.

    Raises:
        Refused, Away: the testbed gives no id.
    """
    if state.get(_AGENT_ID) is None:
        state.put(_AGENT_ID, int(rest.post("state/next-agent-id/")["agent_id"]))
    return f"{agent_type.lower()}-agent-{user or getpass.getuser()}-{state.get(_AGENT_ID)}"


def state_path(
    rest: Rest, agent_type: str, user: str = "", variables: Mapping[str, str] = os.environ
) -> Path:
    """Where an agent keeps its state: `SWF_AGENT_STATE`, else a file of its own for each type, user, host and testbed.

    The host is in its name because home directories are often shared.
    """
    if named := variables.get("SWF_AGENT_STATE", ""):
        return Path(named)
    base = variables.get("XDG_STATE_HOME", "") or str(Path.home() / ".local" / "state")
    parts = (agent_type.lower(), user or getpass.getuser(), socket.gethostname(), urlsplit(rest.url).netloc)
    return Path(base) / "swf-client" / f"{re.sub(r'[^A-Za-z0-9._-]', '_', '-'.join(parts))}.json"
