"""Runs that are closed, with all that becomes of their STFs, their journal and logs.

Parameters of the SQL: `first_run` and `last_run` are numbers of runs, `stfs` is the number of STFs of each; the journal goes
on after `position` with the run `from_run`.
"""

from __future__ import annotations

from benchmarks.api.filling import Rows
from benchmarks.api.rows_once import NAMESPACE, WORKFLOW

_RUNS = "FROM runs_run AS run WHERE run_number BETWEEN %(first_run)s AND %(last_run)s"
_STFS = (
    "FROM stf_stffile AS stf JOIN runs_run AS run ON run.id = stf.run_id AND run_number BETWEEN %(first_run)s "
    "AND %(last_run)s"
)
_SITE = "(ARRAY['E1_BNL', 'E1_JLAB'])[1 + stf.sequence %% 2]"
_TASK = "'user.swf.' || run_number || '.'"
_ADLER32 = "lpad(to_hex(hashint8({}) & 2147483647), 8, '0')"
# Entries of the journal of each STF: kind and actor.
_ENTRIES = """
(VALUES (1, 'stf_gen', 'daqsim'), (2, 'stf_ready', 'data'), (3, 'tf_file_registered', 'fastmon'),
    (4, 'slice', 'fastproc'), (5, 'stf_replicated', 'data'), (6, 'stf_replicated', 'data'),
    (7, 'slice_result', 'fastproc'), (8, 'stf_releasable', 'data'), (9, 'stf_processed', 'processing'),
    (10, 'stf_released', 'daqsim')
) AS entry(nth, kind, actor)
"""
ENTRIES_PER_STF = 10

_OF_RUNS = [
    Rows(
        "runs_workflowexecution",
        {
            "execution_id": "'benchmark-daq-' || number",
            "executed_by": "'daq'",
            "parameter_values": "%(parameters)s::jsonb",
            "start_time": "now()",
            "namespace_id": f"(SELECT id FROM runs_namespace WHERE name = '{NAMESPACE}')",
            "workflow_definition_id": f"(SELECT id FROM runs_workflowdefinition WHERE workflow_name = '{WORKFLOW}')",
        },
        "FROM generate_series(%(first_run)s, %(last_run)s) AS number",
    ),
    Rows(
        "runs_run",
        {
            "run_number": "number",
            "namespace_id": "execution.namespace_id",
            "execution_id": "execution.id",
            "state": "'off'",
            "lifecycle": "'closed'",
            **dict.fromkeys(("state_changed_at", "lifecycle_changed_at", "closed_at"), "now()"),
            "expected_stf_count": "%(stfs)s",
            "requested_at": "began",
            "start_time": "began",
            "end_time": "began + %(stfs)s * interval '0.6 s'",
        },
        "FROM generate_series(%(first_run)s, %(last_run)s) AS number "
        "CROSS JOIN LATERAL (SELECT timestamptz '2026-01-01' + (number - %(from_run)s) * interval '20 min' AS began) AS at "
        "JOIN runs_workflowexecution AS execution ON execution.execution_id = 'benchmark-daq-' || number",
    ),
    Rows(
        "stf_dataset",
        {
            "run_id": "run.id",
            "scope": "'group.daq'",
            "name": "'swf.' || run_number || '.run'",
            "created_at": "now()",
            "closed_at": "now()",
        },
        _RUNS,
    ),
    Rows(
        "stf_decisionbox",
        {
            "run_id": "run.id",
            "policy": "'round-robin'",
            "sites": '\'["E1_BNL", "E1_JLAB"]\'::jsonb',
            "rules": "'[]'::jsonb",
            "changed_by": "'daq'",
            "changed_at": "now()",
        },
        _RUNS,
    ),
    Rows(
        "stf_fastrun",
        {
            "run_id": "run.id",
            "backlog_policy": "'all'",
            **dict.fromkeys(("stf_samples_received", "slices_created", "slices_done"), "%(stfs)s"),
            "drained_at": "now()",
        },
        _RUNS,
    ),
    Rows(
        "stf_brake",
        {"run_id": "run.id", "by": "'ann'", "reason": "'a look at the queue'", "since": "now()"},
        _RUNS,
    ),
    Rows(
        "stf_workertask",
        {"run_id": "run.id", "task_name": f"{_TASK} || 'workers'", "site": "'E1_BNL'", "created_at": "now()"},
        _RUNS,
    ),
    Rows(
        "stf_processingtask",
        {
            "run_id": "run.id",
            "site": "site",
            "input_scope": "'group.daq'",
            "input_name": "'swf.' || run_number || '.in.' || site",
            "task_name": f"{_TASK} || site",
            "status": "'done'",
            "changed_at": "now()",
        },
        _RUNS.replace(" WHERE", ", unnest(ARRAY['E1_BNL', 'E1_JLAB']) AS site WHERE"),
    ),
]

_OF_STFS = [
    Rows(
        "stf_stffile",
        {
            "run_id": "run.id",
            "sequence": "nth",
            "stf_filename": "name",
            "file_url": "'/data/E0_BUFFER/' || run_number || '/' || name",
            "size_bytes": "2000000000 + hashint4(nth) %% 100000",
            "checksum": _ADLER32.format("run_number * 1000000 + nth"),
            "tf_first": "nth * 1000",
            "tf_count": "1000",
            "daq_state": "'run'",
            "daq_substate": "'physics'",
            "begin_time": "began",
            **dict.fromkeys(("end_time", "generated_at"), "began + interval '0.6 s'"),
            "registration": "'registered'",
            "buffer": "'released'",
            **dict.fromkeys(
                ("registered_at", "releasable_at", "released_at", "withdrawn_at"), "began + interval '9 s'"
            ),
        },
        "FROM runs_run AS run CROSS JOIN generate_series(1, %(stfs)s) AS nth CROSS JOIN LATERAL (SELECT "
        "format('swf.%%s.%%s.stf', run_number, lpad(nth::text, 6, '0')) AS name, "
        "run.start_time + nth * interval '0.6 s' AS began) AS made "
        "WHERE run_number BETWEEN %(first_run)s AND %(last_run)s ORDER BY run_number, nth",
    ),
    Rows(
        "stf_replica",
        {
            "stf_id": "stf.id",
            "rse": "rse",
            "state": "'verified'",
            "requested_at": "generated_at",
            "verified_at": "generated_at + interval '8 s'",
        },
        _STFS.replace(" JOIN", " CROSS JOIN unnest(ARRAY['E1_BNL', 'E1_JLAB']) AS rse JOIN"),
    ),
    Rows(
        "stf_stfprocessing",
        {
            "stf_id": "stf.id",
            "run_id": "run.id",
            **dict.fromkeys(("chosen_site", "site"), _SITE),
            "state": "'done'",
            **dict.fromkeys(("attach_asked_at", "attached_at"), "generated_at"),
            **dict.fromkeys(("changed_at", "done_at"), "generated_at + interval '60 s'"),
        },
        _STFS,
    ),
    Rows(
        "stf_processingjob",
        {
            "panda_id": "run_number * 1000000 + stf.sequence",
            "task_id": "task.id",
            "status": "'finished'",
            "attempt_nr": "1",
            "created_at": "generated_at",
            **dict.fromkeys(("changed_at", "ended_at"), "generated_at + interval '60 s'"),
        },
        f"{_STFS} JOIN stf_processingtask AS task ON task.run_id = run.id AND task.site = {_SITE}",
    ),
    Rows(
        "stf_processingjob_processings",
        {"processingjob_id": "job.id", "stfprocessing_id": "processing.id"},
        f"{_STFS} JOIN stf_processingjob AS job ON job.panda_id = run_number * 1000000 + stf.sequence "
        "JOIN stf_stfprocessing AS processing ON processing.stf_id = stf.id",
    ),
    Rows(
        "stf_processingoutput",
        {
            "job_id": "job.id",
            "scope": "'group.daq'",
            "name": "stf_filename || '.out'",
            "dataset": f"{_TASK} || 'out'",
            "rse": _SITE,
            "size_bytes": "1000000",
            "checksum": "checksum",
            "registered_at": "generated_at + interval '70 s'",
        },
        f"{_STFS} JOIN stf_processingjob AS job ON job.panda_id = run_number * 1000000 + stf.sequence",
    ),
    Rows(
        "stf_fastmonsample",
        {
            "stf_id": "stf.id",
            "run_id": "run.id",
            "sequence": "stf.sequence",
            "state": "'sampled'",
            "announced_at": "generated_at",
            "decided_at": "generated_at + interval '1 s'",
            "tf_count": "100",
            "corrupt_tfs": "'[]'::jsonb",
            "hits": "1000",
            "hits_by_detector": "'[400, 300, 200, 100]'::jsonb",
            "slicing": "'cut'",
        },
        _STFS,
    ),
    Rows(
        "stf_fastmonfile",
        {
            "sample_id": "sample.id",
            "tf_file_id": "uuidv7()",
            "tf_filename": "stf_filename || '.tf'",
            "file_url": "'/data/FASTMON/' || stf_filename || '.tf'",
            "file_size_bytes": "200000",
            "checksum": "checksum",
            "tf_first": "stf.tf_first",
            "tf_last": "stf.tf_first + 99",
            "tf_count": "100",
            "corrupt_tfs": "'[]'::jsonb",
            "status": "'removed'",
            "created_at": "generated_at",
            "removed_at": "generated_at + interval '1 h'",
        },
        f"{_STFS} JOIN stf_fastmonsample AS sample ON sample.stf_id = stf.id",
    ),
    Rows(
        "stf_tfslice",
        {
            "fastmon_file_id": "file.id",
            "run_id": "run.id",
            "req_id": "uuidv7()",
            "tf_first": "file.tf_first",
            "tf_last": "file.tf_last",
            "tf_count": "100",
            "status": "'done'",
            "assigned_worker": "'worker-' || 1 + stf.sequence %% 200",
            **dict.fromkeys(("created_at", "assigned_at"), "generated_at"),
            "completed_at": "generated_at + interval '5 s'",
            "processing_seconds": "1",
            "result": "'{\"hits\": 1000}'::jsonb",
        },
        f"{_STFS} JOIN stf_fastmonsample AS sample ON sample.stf_id = stf.id "
        "JOIN stf_fastmonfile AS file ON file.sample_id = sample.id",
    ),
    Rows(
        "agents_applog",
        {
            "app_name": "'data_agent'",
            "instance_name": "'agent-' || 1 + stf.sequence %% 100",
            **dict.fromkeys(("timestamp", "received_at"), "generated_at"),
            "level": "CASE WHEN stf.sequence %% 100 = 0 THEN 40 ELSE 20 END",
            "levelname": "CASE WHEN stf.sequence %% 100 = 0 THEN 'ERROR' ELSE 'INFO' END",
            "message": "'registered ' || stf_filename",
            "run_number": "run_number",
        },
        _STFS,
    ),
    Rows(
        "runs_journalentry",
        {
            "msg_id": "uuidv7()",
            "kind": "kind",
            "run_id": "run.id",
            "namespace_id": "run.namespace_id",
            "actor": "actor",
            "subject": "stf_filename",
            "payload": "jsonb_build_object('filename', stf_filename, 'sequence', sequence, 'file_url', file_url, "
            "'size_bytes', size_bytes, 'checksum', checksum, 'state', daq_state, 'substate', daq_substate)",
            "stream_sequence": f"(sequence - 1) * {ENTRIES_PER_STF} + nth",
            "correlation_id": "uuidv7()",
            "occurred_at": "generated_at + nth * interval '1 s'",
            "position": "%(position)s + ((run_number - %(from_run)s) * %(stfs)s + sequence - 1) "
            f"* {ENTRIES_PER_STF} + nth",
        },
        f"{_STFS} CROSS JOIN {_ENTRIES} ORDER BY run_number, sequence, nth",
    ),
]

PER_RUN = [*_OF_RUNS, *_OF_STFS]
