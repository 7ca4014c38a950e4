"""What stands in the database once, whatever its size: the world around the runs."""

from __future__ import annotations

from benchmarks.api.filling import Rows

NAMESPACE = "benchmark"
WORKFLOW = "benchmark"
_KNOWN = "ON CONFLICT DO NOTHING"

ONCE = [
    Rows("runs_namespace", {"name": f"'{NAMESPACE}'", "created_at": "now()"}, _KNOWN),
    Rows(
        "runs_workflowdefinition",
        {
            "workflow_name": f"'{WORKFLOW}'",
            "version": "1",
            "workflow_type": "'simulation'",
            "content_hash": "repeat('0', 64)",
            "parameter_values": "%(parameters)s::jsonb",
            "created_by": "'benchmark'",
            "created_at": "now()",
        },
        _KNOWN,
    ),
    Rows(
        "stf_processingsite",
        {"name": "name", "panda_queue": "name", "changed_at": "now()"},
        f"FROM unnest(ARRAY['E1_BNL', 'E1_JLAB']) AS name {_KNOWN}",
    ),
    Rows(
        "agents_systemagent",
        {
            "instance_name": "'agent-' || n",
            "agent_type": "'DATA'",
            "operational_state": "'READY'",
            "status": "'OK'",
            "started_at": "now()",
            "last_heartbeat": "now()",
        },
        f"FROM generate_series(1, 100) AS n {_KNOWN}",
    ),
    Rows(
        "agents_subscriber",
        {
            "subscriber_name": "'subscriber-' || n",
            "is_active": "true",
            "fraction": "1",
            "delivery_type": "'activemq'",
            "created_at": "now()",
            "updated_at": "now()",
        },
        f"FROM generate_series(1, 100) AS n {_KNOWN}",
    ),
    Rows(
        "stf_worker",
        {
            "worker_id": "'worker-' || n",
            "location": "'farm'",
            "status": "'ready'",
            "started_at": "now()",
            "last_heartbeat": "now()",
        },
        f"FROM generate_series(1, 200) AS n {_KNOWN}",
    ),
    Rows(
        "agents_incident",
        {
            "kind": "'corrupt_tf'",
            "subject": "'incident-' || n",
            "state": "'open'",
            "reason": "'CRC of TF ' || n || ' is wrong'",
            "opened_at": "now()",
        },
        f"FROM generate_series(1, 1000) AS n {_KNOWN}",
    ),
    Rows(
        "agents_deadletter",
        {
            "agent": "'data'",
            "body": '\'{"msg_type": "stf_gen", "n": \' || n || \'}\'',
            "msg_type": "'stf_gen'",
            "msg_id": "md5('letter' || n)::uuid",
            "reason": "'stf_gen: filename: Field required'",
            "parked_at": "now()",
            "state": "'open'",
        },
        f"FROM generate_series(1, 1000) AS n {_KNOWN}",
    ),
]
