"""The methods `job/...`."""

from __future__ import annotations

from services.panda.server.changes import kill_jobs
from services.panda.server.descriptions import describe_jobs
from services.panda.server.envelope import Call, Reply, failed, method, ok

MOST_JOBS = 5500


@method("job/get_status", "GET")
def get_status(call: Call, job_ids: list[int], timeout: int = 60) -> Reply:
    """State and command of jobs; a pilot of an unknown job is told to stop."""
    with call.database.transaction() as transaction:
        rows = transaction.rows(
            "SELECT pandaid, status, command FROM jobs WHERE pandaid = ANY(%s)", [job_ids]
        )
    jobs = {row["pandaid"]: {"command": row["command"], "status": row["status"]} for row in rows}
    return ok([jobs.get(number, {"command": "tobekilled", "status": "unknown"}) for number in job_ids])


@method("job/get_description")
def get_description(call: Call, job_ids: list[int]) -> Reply:
    """Everything about jobs, in the order asked for; None for an unknown one."""
    wanted = job_ids[:MOST_JOBS]
    with call.database.transaction() as transaction:
        described = describe_jobs(transaction, wanted)
    return ok([described.get(number) for number in wanted])


@method("job/get_description_incl_archive")
def get_description_incl_archive(call: Call, job_ids: list[int]) -> Reply:
    """The same: this server has no separate archive."""
    return get_description(call, job_ids)


@method("job/kill", "POST")
def kill(
    call: Call,
    job_ids: list[int],
    code: int | None = None,
    use_email_as_id: bool = False,
    kill_options: list[str] | None = None,
) -> Reply:
    """Kill jobs: those of the caller, or any for the production role. Tells for each whether there was one to kill."""
    with call.database.transaction() as transaction:
        own = transaction.rows(
            "SELECT pandaid FROM jobs WHERE pandaid = ANY(%s) AND (%s OR username = %s)"
            " AND status NOT IN ('finished', 'failed', 'cancelled', 'closed')",
            [job_ids[:MOST_JOBS], call.caller.production, call.user],
        )
        killed = {job["pandaid"] for job in own}
        kill_jobs(transaction, sorted(killed), call.user)
    return ok([number in killed for number in job_ids])


@method("job/set_debug_mode", "POST", production=True)
def set_debug_mode(call: Call, job_id: int, mode: bool) -> Reply:
    """Not offered: said to whoever is allowed to ask."""
    return failed("the embedded server has no debug mode")
