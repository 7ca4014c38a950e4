"""What a worker's messages say, in the fields of the existing transformers."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from typing import Any, Literal

from django.conf import settings

from ..bus.fast_schemas import Slice, SliceResult, WorkerHeartbeat

_HOSTNAME = socket.gethostname()[:100]
# The pilot tells its jobs by these who they are.
_PANDA_ID, _PANDA_TASK_ID = "PandaID", "PanDA_TaskID"


def result_of(
    worker_id: str, message: Slice, found: dict[str, Any], error: str, begun_at: datetime
) -> dict[str, Any]:
    """`slice_result`: the slice is given back as it came, with what was found in it, two levels down.

    Args:
        found: fields for it.
        error: why there is nothing; "" when it was processed.
    """
    now, state = datetime.now(UTC), "failed" if error else "done"
    inner = {
        **message.content.model_dump(mode="json"),
        **found,
        "state": state,
        "processed": not error,
        "actual_processing_time": round((now - begun_at).total_seconds(), 6),
    }
    content = {
        "state": state,
        "requested_at": message.created_at or None,
        "processing_start_at": begun_at.isoformat(),
        "processed_at": now.isoformat(),
        "hostname": _HOSTNAME,
        "panda_id": _number(_PANDA_ID),
        "panda_task_id": _number(_PANDA_TASK_ID),
        "worker_id": worker_id,
        "result": {"state": state, "result": inner, "error": error or None},
        "error": error or None,
    }
    fields = {
        **_envelope(worker_id, now),
        "run_id": message.run_id,
        "execution_id": message.execution_id,
        "correlation_id": message.correlation_id,
        "causation_id": message.msg_id,
        "created_at": now.replace(tzinfo=None).isoformat(),
        "content": content,
    }
    return SliceResult.model_validate(fields).model_dump(mode="json")


def heartbeat_of(
    worker_id: str,
    status: Literal["ready", "busy", "stopping", "ended"],
    in_hand: Slice | None,
    **fields: Any,
) -> dict[str, Any]:
    """`worker_heartbeat`; `fields` are what only the worker knows, such as its counts."""
    fields |= {
        **_envelope(worker_id, datetime.now(UTC)),
        "worker_id": worker_id,
        "status": status,
        "hostname": _HOSTNAME,
        "pid": os.getpid(),
        "panda_id": _number(_PANDA_ID),
        "req_id": in_hand.content.req_id if in_hand else None,
        "attempt": in_hand.content.attempt if in_hand else None,
    }
    return WorkerHeartbeat.model_validate(fields).model_dump(mode="json")


def _envelope(worker_id: str, now: datetime) -> dict[str, Any]:
    return {
        "occurred_at": now,
        "timestamp": now.isoformat(),
        "sender": worker_id,
        "namespace": settings.SWF_NAMESPACE,
    }


def _number(variable: str) -> int | None:
    value = os.environ.get(variable, "")
    return int(value) if value.isdecimal() else None
