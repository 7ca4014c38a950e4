"""Examples of the document, by operation. A test holds each to the schema of the operation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiExample

_FIRST = "swf.102827.000001.stf"
_SECOND = "swf.102827.000002.stf"

_STF: dict[str, Any] = {
    "run": 102827,
    "stf_filename": _FIRST,
    "sequence": 1,
    "file_size_bytes": 2097152,
    "checksum": "5f1d3c0a",
    "machine_state": "run",
    "tf_first": 1,
    "tf_count": 1000,
}
_SLICE: dict[str, Any] = {
    "id": 4711,
    "run_number": 102827,
    "fastmon_file": "swf.102827.000001_001.tf",
    "stf_filename": _FIRST,
    "file_url": "",
    "checksum": "0badcafe",
    "slice_id": 0,
    "req_id": "0197a5b2-6c3e-7d10-9f41-5a2c7e6b8d90",
    "tf_first": 1,
    "tf_last": 15,
    "tf_count": 15,
    "status": "claimed",
    "reason": "",
    "retries": 0,
    "assigned_worker": "farm-7",
    "created_at": "2026-08-01T10:00:02Z",
    "assigned_at": "2026-08-01T10:00:03Z",
    "lease_until": "2026-08-01T10:01:03Z",
    "completed_at": None,
    "processing_seconds": None,
    "result": None,
}
_LOG: dict[str, Any] = {
    "app_name": "stf-sender",
    "instance_name": "sender-farm-7",
    "timestamp": "2026-08-01T10:00:00Z",
    "level": 20,
    "levelname": "INFO",
    "message": "sent 20 STFs",
    "module": "sender",
    "funcname": "send",
    "lineno": 42,
    "process": 1234,
    "thread": 5678,
    "extra_data": {"run_id": 102827},
}


def _asked(name: str, value: Any) -> OpenApiExample:
    return OpenApiExample(name, value=value, request_only=True)


def _answered(name: str, value: Any, *statuses: str) -> OpenApiExample:
    return OpenApiExample(name, value=value, response_only=True, status_codes=statuses)


_BECAUSE = [_asked("It goes on", {"reason": "the upgrade is through"})]
_COMMAND = [_asked("With the reason", {"reason": "beam dump"}), _asked("Without", {})]
_DEFINITION = [
    _asked(
        "A workflow in Python",
        {
            "workflow_name": "stf_datataking",
            "version": "1.0",
            "workflow_type": "simulation",
            "definition": "class WorkflowExecutor: ...",
            "parameter_values": {"stf_count": 20},
            "created_by": "ann",
        },
    ),
]

EXAMPLES: Mapping[str, list[OpenApiExample]] = {
    "runs_create": [
        _asked("A run of another DAQ", {"run_number": 102827, "run_conditions": {"beam": "10x100"}}),
    ],
    "runs_partial_update": [
        _asked("It has ended", {"end_time": "2026-08-01T11:00:00Z", "total_stf_files": 20}),
    ],
    "run_states_partial_update": [_asked("It takes data", {"state": "run", "substate": "physics"})],
    "stf_files_create": [
        _asked("One STF", _STF),
        _asked("A list of STFs", [_STF, {"run": 102827, "stf_filename": _SECOND}]),
        _answered(
            "Of a list",
            [
                {"file_id": _FIRST, "run": 102827, "created": False},
                {"file_id": _SECOND, "run": 102827, "created": True},
            ],
            "201",
        ),
    ],
    "tf_slices_claim": [
        _asked("Two slices of any run", {"worker_id": "farm-7", "limit": 2}),
        _answered("One was left", _SLICE, "200"),
    ],
    "tf_slices_result": [
        _asked(
            "It is done",
            {
                "worker_id": "farm-7",
                "status": "done",
                "attempt": 1,
                "processing_seconds": 2.5,
                "result": {"hits": 7},
            },
        ),
        _asked(
            "It has failed",
            {"worker_id": "farm-7", "status": "failed", "attempt": 1, "error": "exit code 7"},
        ),
        _answered(
            "It counts",
            {
                **_SLICE,
                "status": "done",
                "completed_at": "2026-08-01T10:00:06Z",
                "processing_seconds": 2.5,
                "result": {"hits": 7},
                "ignored": "",
            },
            "200",
        ),
    ],
    "workers_create": [
        _asked(
            "It works on a slice",
            {"worker_id": "farm-7", "status": "busy", "req_id": _SLICE["req_id"], "attempt": 1},
        ),
    ],
    "systemagents_heartbeat": [
        _asked(
            "It lives",
            {
                "instance_name": "sender-farm-7",
                "agent_type": "farm",
                "status": "OK",
                "operational_state": "READY",
                "namespace": "local",
                "hostname": "farm7.example.org",
                "pid": 1234,
                "metadata": {"queue": 3},
            },
        ),
    ],
    "logs_create": [
        _asked("One record", _LOG),
        _asked("A list of records", [_LOG, {**_LOG, "message": "done"}]),
    ],
    "brakes_on": [_asked("Hold everything", {"reason": "the site is being upgraded", "cancel": False})],
    "brakes_off": _BECAUSE,
    "runs_brake_on": [_asked("Hold the run's tasks", {"reason": "bad calibration", "cancel": True})],
    "runs_brake_off": _BECAUSE,
    "processing_sites_down": [_asked("Nothing more goes there", {"reason": "power cut"})],
    "processing_sites_up": [_asked("It takes tasks again", {"reason": "power is back"})],
    "runs_start_create": [
        _asked(
            "Twenty small STFs",
            {"workflow": "demo", "parameters": {"stf_count": 20, "stf.size_bytes": 200_000}},
        ),
    ],
    "runs_pause": _COMMAND,
    "runs_resume": _COMMAND,
    "runs_stop": _COMMAND,
    "runs_abort": _COMMAND,
    "runs_re_evaluate": _COMMAND,
    "runs_force_close": [
        _asked("In spite of what is missing", {"reason": "the disk of swf.102827.000007.stf is lost"})
    ],
    "runs_policy": [
        _asked("At both sites", {"policy": "both"}),
        _asked(
            "Some here, the rest there", {"policy": "explicit", "rules": ["E1_BNL:1-500", "E1_JLAB:501-"]}
        ),
    ],
    "processing_tasks_finish": _COMMAND,
    "processing_tasks_kill": _COMMAND,
    "processing_tasks_reload": _COMMAND,
    "processing_tasks_retry": _COMMAND,
    "incidents_clear": [_asked("It is over", {"reason": "the sampler was restarted"})],
    "dead_letters_replay_many": [
        _asked("All of an agent and type", {"agent": "data", "msg_type": "stf_gen"}),
        _asked("All", {"all": True}),
    ],
    "dead_letters_discard": [_asked("Nobody needs it", {"reason": "a test message"})],
    "namespaces_ensure": [_asked("A namespace of one's own", {"name": "torre1", "owner": "ann"})],
    "run_states_create": [
        _asked("It takes data", {"run_number": 102827, "state": "run", "substate": "physics"})
    ],
    "system_state_events_create": [
        _asked(
            "The beam is there",
            {"run_number": 102827, "event_type": "state_transition", "state": "beam", "substate": "ready"},
        ),
    ],
    "stf_files_partial_update": [_asked("It is being processed", {"status": "processing"})],
    "fastmon_files_create": [
        _asked(
            "TFs 1 to 15 of an STF",
            {"stf_file": _FIRST, "tf_filename": "swf.102827.000001_001.tf", "tf_first": 1, "tf_last": 15},
        ),
    ],
    "fastmon_files_partial_update": [_asked("It is not there any more", {"status": "removed"})],
    "tf_slices_create": [
        _asked(
            "A slice of fifteen TFs",
            {"tf_filename": "swf.102827.000001_001.tf", "slice_id": 0, "tf_first": 1, "tf_last": 15},
        ),
    ],
    "tf_slices_partial_update": [
        _asked("It is done", {"status": "done", "assigned_worker": "farm-7", "metadata": {"hits": 7}}),
    ],
    "subscribers_create": [
        _asked(
            "Who follows the stream",
            {
                "subscriber_name": "monitor-7",
                "delivery_type": "sse",
                "message_filters": {"msg_types": ["stf_gen"]},
            },
        ),
    ],
    "state_next_workflow_execution_id_create": [_asked("Of a workflow", {"workflow_name": "stf_datataking"})],
    "workflow_definitions_create": _DEFINITION,
    "workflow_definitions_update": _DEFINITION,
    "workflow_executions_create": [
        _asked(
            "One that has begun",
            {
                "execution_id": "stf_datataking-ann-0042",
                "workflow_definition": 7,
                "namespace": "local",
                "executed_by": "ann",
                "status": "running",
            },
        ),
    ],
    "workflow_executions_partial_update": [
        _asked("It has ended", {"status": "completed", "end_time": "2026-08-01T11:00:00Z"}),
    ],
}
