"""A sample of every message on the bus, as an agent from elsewhere would send it: the least that is valid."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

_RUN = {"run_id": "100010"}
_STATE = {**_RUN, "state": "run", "substate": "physics"}
_NAMED_STF = {**_STATE, "filename": "swf.100010.000001.stf", "sequence": 1}
_STF = {
    **_NAMED_STF,
    "file_url": "/buffer/swf.100010.000001.stf",
    "size_bytes": 2000,
    "checksum": "0a1b2c3d",
}

_SLICE = {
    "req_id": "0199f3a2-7b1c-7def-8000-000000000001",
    "filename": "swf.100010.000001.stf",
    "tf_filename": "swf.100010.000001_tf_000_slice_000.tf",
    "slice_id": 0,
    "start": 100,
    "end": 102,
    "tf_count": 3,
}

SAMPLES: dict[str, dict[str, Any]] = {
    "run_workflow": {"workflow_name": "fast"},
    "status_request": {},
    "reply": {"command": "status_request", "status": "ok"},
    "pause_workflow": _RUN,
    "resume_workflow": _RUN,
    "stop_workflow": {},
    "abort_workflow": _RUN,
    "run_imminent": {**_RUN, "state": "beam", "substate": "not_ready"},
    "start_run": _STATE,
    "pause_run": {**_RUN, "state": "run", "substate": "standby"},
    "resume_run": _STATE,
    "end_run": {**_RUN, "total_stf_files": 3},
    "stf_gen": _NAMED_STF,
    "stf_ready": {**_STF, "dataset": "group.daq:swf.100010.run"},
    "stf_failed": {**_STF, "reason": "the file is truncated"},
    "stf_replicated": {**_STF, "rse": "E1_BNL"},
    "stf_replica_failed": {**_STF, "rse": "E1_BNL", "reason": "no space left"},
    "stf_releasable": _STF,
    "stf_released": _STF,
    "stf_processed": {
        **_RUN,
        "filename": "swf.100010.000001.stf",
        "sequence": 1,
        "site": "E1_BNL",
        "panda_id": 7,
    },
    "run_closed": {**_RUN, "state": "closed"},
    "tf_file_registered": {
        **_RUN,
        "tf_file_id": "0199f3a2-7b1c-7def-8000-000000000000",
        "tf_filename": "swf.100010.000001_tf_000.tf",
        "tf_first": 100,
        "tf_last": 116,
        "tf_count": 17,
        "file_size_bytes": 34_000,
        "stf_filename": "swf.100010.000001.stf",
    },
    "run_imminent_worker": {**_RUN, "content": {"target_worker_count": 2}},
    "slice": {**_RUN, "content": _SLICE},
    "slice_result": {**_RUN, "content": {"state": "done", "result": {"state": "done", "result": _SLICE}}},
    "worker_heartbeat": {"worker_id": "worker-1", "status": "ready"},
    "stop_transformer": {},
}


def a_message(msg_type: str, /, **changes: Any) -> dict[str, Any]:
    """The sample of this type with an id of its own; a change to `...` takes the field out."""
    body = {"msg_type": msg_type, "msg_id": str(uuid4()), **SAMPLES[msg_type], **changes}
    return {name: value for name, value in body.items() if value is not ...}
