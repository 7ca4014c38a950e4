"""The methods `pilot/...`."""

from __future__ import annotations

import logging
from typing import Any

from services.panda.server.envelope import METHODS, Call, Reply, failed, method, ok, reply
from services.panda.server.pilots import acquire, update
from services.panda.server.states import PILOT_SAYS

INVALID = {"StatusCode": 50}
WORKER_STATES = ("started", "finished")
MOST_AT_ONCE = 100
Number = int | float

log = logging.getLogger(__name__)


@method("pilot/acquire_jobs", "POST")
def acquire_jobs(
    call: Call,
    site_name: str,
    timeout: int = 60,
    memory: int | None = None,
    disk_space: int | None = None,
    prod_source_label: str | None = None,
    node: str | None = None,
    computing_element: str | None = None,
    prod_user_id: str | None = None,
    get_proxy_key: str | None = None,
    task_id: int | None = None,
    n_jobs: int = 1,
    background: bool | None = None,
    resource_type: str | None = None,
    harvester_id: str | None = None,
    worker_id: int | None = None,
    scheduler_id: str | None = None,
    job_type: str | None = None,
    via_topic: bool | None = None,
    remaining_time: object = None,
    target_architecture: dict[str, Any] | str | None = None,
) -> Reply:
    """Give activated jobs of a queue to a pilot. Requirements other than label and task are not compared."""
    if not call.caller.production and prod_source_label != "user":
        return failed("no production/pilot role in VOMS FQANs or non pilot owner")
    owner = prod_user_id if call.caller.production else call.user
    with call.database.transaction() as transaction:
        jobs = acquire(
            transaction,
            queue=site_name,
            label=prod_source_label,
            owner=owner,
            task_id=task_id,
            count=max(0, min(n_jobs, MOST_AT_ONCE)),
            node=node,
        )
    if not jobs:
        return failed("No jobs in PanDA")
    return ok({"StatusCode": 0, "jobs": jobs})


@method("pilot/get_job_status", "GET")
def get_job_status(call: Call, job_ids: list[int], timeout: int = 60) -> Reply:
    """State and attempt of jobs."""
    with call.database.transaction() as transaction:
        rows = transaction.rows(
            "SELECT pandaid, status, attemptnr FROM jobs WHERE pandaid = ANY(%s)", [job_ids]
        )
    jobs = {
        row["pandaid"]: {
            "job_id": row["pandaid"],
            "status": row["status"],
            "attempt_number": row["attemptnr"],
        }
        for row in rows
    }
    return ok(
        [
            jobs.get(number, {"job_id": number, "status": "not found", "attempt_number": 0})
            for number in job_ids
        ]
    )


@method("pilot/update_job", "POST", production=True)
def update_job(
    call: Call,
    job_id: int,
    job_status: str,
    job_output_report: str = "",
    node: str | None = None,
    cpu_consumption_time: int | None = None,
    cpu_consumption_unit: str | None = None,
    scheduler_id: str | None = None,
    pilot_id: str | None = None,
    site_name: str | None = None,
    pilot_log: str = "",
    meta_data: str = "",
    cpu_conversion_factor: Number | None = None,
    trans_exit_code: int | None = None,
    pilot_error_code: int | None = None,
    pilot_error_diag: str | None = None,
    exe_error_code: int | None = None,
    exe_error_diag: str | None = None,
    pilot_timing: str | None = None,
    start_time: str | None = None,
    end_time: str | None = None,
    n_events: int | None = None,
    n_input_files: int | None = None,
    batch_id: str | None = None,
    attempt_nr: int | None = None,
    job_metrics: str | None = None,
    stdout: str = "",
    job_sub_status: str | None = None,
    core_count: int | None = None,
    max_rss: Number | None = None,
    max_vmem: Number | None = None,
    max_swap: Number | None = None,
    max_pss: Number | None = None,
    avg_rss: Number | None = None,
    avg_vmem: Number | None = None,
    avg_swap: Number | None = None,
    avg_pss: Number | None = None,
    tot_rchar: Number | None = None,
    tot_wchar: Number | None = None,
    tot_rbytes: Number | None = None,
    tot_wbytes: Number | None = None,
    rate_rchar: Number | None = None,
    rate_wchar: Number | None = None,
    rate_rbytes: Number | None = None,
    rate_wbytes: Number | None = None,
    corrupted_files: str | None = None,
    mean_core_count: int | None = None,
    cpu_architecture_level: str | None = None,
    grid: str | None = None,
    source_site: str | None = None,
    destination_site: str | None = None,
    timeout: int = 60,
) -> Reply:
    """A pilot's word on its job, which is also its heartbeat; the answer may be a command."""
    said: dict[str, Any] = dict(locals())
    if job_status not in PILOT_SAYS:
        return reply(success=False, message=f"Invalid job status: {job_status}", data=dict(INVALID))
    with call.database.transaction() as transaction:
        command = update(transaction, said)
    return ok({"StatusCode": 0, "command": command})


@method("pilot/update_jobs_bulk", "POST", production=True)
def update_jobs_bulk(call: Call, job_list: list[dict[str, Any]], harvester_id: str | None = None) -> Reply:
    """Several pilots' words at once; each gets its own reply."""
    single = METHODS["pilot/update_job"]
    return ok([single(call, {str(name): value for name, value in job.items()}) for job in job_list])


@method("pilot/update_worker_status", "POST", production=True)
def update_worker_status(
    call: Call,
    worker_id: object,
    harvester_id: object,
    status: object,
    timeout: object = 60,
    node_id: object = None,
) -> Reply:
    """A worker has started or finished."""
    if status not in WORKER_STATES:
        return failed(f"Invalid worker state. The worker state has to be in {WORKER_STATES}")
    with call.database.transaction() as transaction:
        transaction.execute(
            "INSERT INTO workers (harvesterid, workerid, status) VALUES (%s, %s, %s)"
            " ON CONFLICT (harvesterid, workerid) DO UPDATE SET status = excluded.status, modificationtime = utc()",
            [str(harvester_id)[:200], str(worker_id)[:200], status],
        )
    return ok()


@method("pilot/update_worker_node", "POST", production=True)
def update_worker_node(
    call: Call,
    site: str,
    host_name: str,
    cpu_model: str,
    panda_queue: str | None = None,
    n_logical_cpus: int | None = None,
    n_sockets: int | None = None,
    cores_per_socket: int | None = None,
    threads_per_core: int | None = None,
    cpu_architecture: str | None = None,
    cpu_architecture_level: str | None = None,
    clock_speed: float | None = None,
    total_memory: int | None = None,
    total_local_disk: int | None = None,
    timeout: int = 60,
) -> Reply:
    """What a worker node is made of."""
    return _node(call, dict(locals()), "Updated worker node")


@method("pilot/update_worker_node_gpu", "POST", production=True)
def update_worker_node_gpu(
    call: Call,
    site: str,
    host_name: str,
    vendor: str,
    model: str,
    count: int,
    vram: int | None = None,
    architecture: str | None = None,
    framework: str | None = None,
    framework_version: str | None = None,
    driver_version: str | None = None,
    timeout: int = 60,
) -> Reply:
    """What GPUs a worker node has."""
    given = dict(locals())
    given["host_name"] = f"{host_name} GPU"
    return _node(call, given, "Updated worker node GPU")


def _node(call: Call, given: dict[str, Any], message: str) -> Reply:
    from psycopg.types.json import Jsonb

    described = {name: value for name, value in given.items() if name not in ("call", "timeout")}
    with call.database.transaction() as transaction:
        transaction.execute(
            "INSERT INTO worker_nodes (site, host, described) VALUES (%s, %s, %s)"
            " ON CONFLICT (site, host) DO UPDATE SET described = excluded.described, modificationtime = utc()",
            [given["site"][:200], given["host_name"][:200], Jsonb(described)],
        )
    return ok(message=message)
