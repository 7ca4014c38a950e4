"""Messages as producers of the existing swf system write them, put into the fields of our schemas.

The vocabulary is the same. What differs is left over from its three generations: field names, how a checksum or a time is
written, and what goes without saying because the kind of message implies it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from typing import Any

from apps.runs.core_states import TRANSITIONS

_NAMES = {"size": "size_bytes", "file_size_bytes": "size_bytes", "ts": "timestamp"}
# These have the existing system's names.
_UNCHANGED = frozenset({"tf_file_registered"})
# Of a change with a name, the state that it leads to.
_STATE_AFTER = {row.name: row.after for row in TRANSITIONS if row.name}
_COMPACT_TIME = "%Y%m%d%H%M%S%f"
_COMPACT_DIGITS = 20
_ADLER32 = re.compile(r"ad:([0-9]{1,10})")
_STF_NAME = re.compile(r"swf\.[0-9]+\.([0-9]+)\..*")


def modernised(body: dict[str, Any]) -> dict[str, Any]:
    """The message with our field names and notations; what is ours already stays as it is, and so does what is wrong."""
    changed = dict(body)
    msg_type = changed.get("msg_type")
    if msg_type in _UNCHANGED:
        return changed
    if msg_type == "heartbeat" and "internal_id" in changed:
        return _heartbeat_of_transformer(changed)
    for old, new in _NAMES.items():
        if old in changed and new not in changed:
            changed[new] = changed.pop(old)
    if msg_type in ("run_imminent", "start_run", "pause_run", "resume_run") and "state" not in changed:
        changed["state"], changed["substate"] = map(str, _STATE_AFTER[msg_type])
    if msg_type == "stf_gen":
        _modernise_stf(changed)
    return changed


def _heartbeat_of_transformer(changed: dict[str, Any]) -> dict[str, Any]:
    """It says that it is there, every 30 s, and no more."""
    told = {name: value for name, value in changed.items() if name not in ("internal_id", "timestamp")}
    return told | {
        "msg_type": "worker_heartbeat",
        "worker_id": str(changed["internal_id"])[:100],
        "status": "ready",
        "timestamp": str(changed.get("timestamp", "")),
    }


def _modernise_stf(changed: dict[str, Any]) -> None:
    if match := _ADLER32.fullmatch(str(changed.get("checksum"))):
        changed["checksum"] = f"{int(match[1]) & 0xFFFFFFFF:08x}"
    name = changed.get("filename")
    if "sequence" not in changed and isinstance(name, str) and (match := _STF_NAME.fullmatch(name)):
        changed["sequence"] = int(match[1])
    for field in ("start", "end"):
        if isinstance(changed.get(field), str):
            changed[field] = _aware(changed[field])


def _aware(text: str) -> Any:
    """The time, on this machine's clock where it does not say whose; text that is no time stays for the schema to refuse."""
    with suppress(ValueError):
        return _compact_time(text).astimezone()
    with suppress(ValueError):
        time = datetime.fromisoformat(text)
        return time if time.tzinfo else time.astimezone()
    return text


def _compact_time(text: str) -> datetime:
    if len(text) == _COMPACT_DIGITS and text.isascii() and text.isdigit():
        # In a tenth of the time.
        return datetime.fromisoformat(f"{text[:8]}T{text[8:14]}.{text[14:]}")
    return datetime.strptime(text, _COMPACT_TIME)
