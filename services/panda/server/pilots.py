"""What pilots change: a queued job is handed out, a job goes on as its pilot says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from services.panda.server.changes import touch
from services.panda.server.database import Row, Transaction
from services.panda.server.descriptions import files_of, for_pilot
from services.panda.server.states import JOB_WITH_PILOT, PILOT_SAYS

NO_COMMAND, STOP = "NULL", "tobekilled"
# With these a pilot takes whatever is queued; with another it gets only jobs of that label.
ANY_LABEL = (None, "", "user", "managed", "unified")
DIAG = 500
# What a pilot reports, by its attribute in the description, and the longest text of it that is kept.
_REPORTED: dict[str, tuple[str, int]] = {
    "cpu_consumption_time": ("cpuConsumptionTime", 0),
    "cpu_consumption_unit": ("cpuConsumptionUnit", 128),
    "cpu_architecture_level": ("cpu_architecture_level", 20),
    "cpu_conversion_factor": ("cpuConversion", 0),
    "node": ("modificationHost", 128),
    "trans_exit_code": ("transExitCode", 0),
    "pilot_error_code": ("pilotErrorCode", 0),
    "pilot_error_diag": ("pilotErrorDiag", DIAG),
    "exe_error_code": ("exeErrorCode", 0),
    "exe_error_diag": ("exeErrorDiag", DIAG),
    "job_metrics": ("jobMetrics", DIAG),
    "scheduler_id": ("schedulerID", 128),
    "pilot_id": ("pilotID", 200),
    "batch_id": ("batchID", 80),
    "pilot_timing": ("pilotTiming", 100),
    "n_events": ("nEvents", 0),
    "n_input_files": ("nInputFiles", 0),
    "job_sub_status": ("jobSubStatus", 80),
    "core_count": ("actualCoreCount", 0),
    "max_rss": ("maxRSS", 0),
    "max_vmem": ("maxVMEM", 0),
    "max_swap": ("maxSWAP", 0),
    "max_pss": ("maxPSS", 0),
    "avg_rss": ("avgRSS", 0),
    "avg_vmem": ("avgVMEM", 0),
    "avg_swap": ("avgSWAP", 0),
    "avg_pss": ("avgPSS", 0),
    "tot_rchar": ("totRCHAR", 0),
    "tot_wchar": ("totWCHAR", 0),
    "tot_rbytes": ("totRBYTES", 0),
    "tot_wbytes": ("totWBYTES", 0),
    "rate_rchar": ("rateRCHAR", 0),
    "rate_wchar": ("rateWCHAR", 0),
    "rate_rbytes": ("rateRBYTES", 0),
    "rate_wbytes": ("rateWBYTES", 0),
    "grid": ("grid", 50),
    "source_site": ("sourceSite", 36),
    "destination_site": ("destinationSite", 36),
    "meta_data": ("metadata", 100_000),
}
_IN_KIB = (
    "tot_rchar",
    "tot_wchar",
    "tot_rbytes",
    "tot_wbytes",
    "rate_rchar",
    "rate_wchar",
    "rate_rbytes",
    "rate_wbytes",
)


def acquire(
    transaction: Transaction,
    *,
    queue: str,
    label: str | None,
    owner: str | None,
    task_id: int | None,
    count: int,
    node: str | None,
) -> list[dict[str, Any]]:
    """Hand out up to `count` activated jobs of a queue, to nobody else from now on."""
    jobs = transaction.rows(
        "WITH taken AS (UPDATE jobs SET status = 'sent', heartbeat = utc(), modificationtime = utc(),"
        "   statechangetime = utc(), attributes = attributes || %(node)s"
        "  WHERE pandaid IN (SELECT pandaid FROM jobs WHERE status = 'activated' AND site = %(queue)s"
        "    AND (%(any)s OR prodsourcelabel = %(label)s) AND (%(owner)s::text IS NULL OR username = %(owner)s)"
        "    AND (%(task)s::bigint IS NULL OR jeditaskid = %(task)s)"
        "    AND NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.jeditaskid = jobs.jeditaskid AND tasks.status = 'paused')"
        "    ORDER BY priority DESC, pandaid LIMIT %(count)s FOR UPDATE SKIP LOCKED) RETURNING *)"
        " SELECT taken.*, tasks.taskname FROM taken JOIN tasks USING (jeditaskid) ORDER BY priority DESC, pandaid",
        {
            "queue": queue,
            "any": label in ANY_LABEL,
            "label": label,
            "owner": owner,
            "task": task_id,
            "count": count,
            "node": Jsonb({"modificationHost": node[:128]} if node else {}),
        },
    )
    files = files_of(transaction, [job["pandaid"] for job in jobs])
    touch(transaction, (job["jeditaskid"] for job in jobs))
    return [for_pilot(job, files[job["pandaid"]], n_sent=0) for job in jobs]


def update(transaction: Transaction, said: Mapping[str, Any]) -> str:
    """Note what a pilot says of its job; returns the command for it.

    The pilot of a job that has ended, that is unknown, or that another attempt has replaced is told to stop.
    """
    job = transaction.row("SELECT * FROM jobs WHERE pandaid = %s FOR UPDATE", [said["job_id"]])
    if job is None or (said["attempt_nr"] is not None and said["attempt_nr"] != job["attemptnr"]):
        return STOP
    if job["status"] == "holding":
        return job["command"] or NO_COMMAND  # said again: the answer to the first time was lost
    if job["status"] not in JOB_WITH_PILOT:
        return STOP
    _note(transaction, job, said)
    touch(transaction, [job["jeditaskid"]])
    return job["command"] or NO_COMMAND


def _note(transaction: Transaction, job: Row, said: Mapping[str, Any]) -> None:
    after = PILOT_SAYS[said["job_status"]]
    ended = after == "holding"
    changed = after != job["status"]
    transaction.execute(
        "UPDATE jobs SET status = %(after)s, heartbeat = utc(), modificationtime = utc(),"
        " attributes = attributes || %(attributes)s,"
        " statechangetime = CASE WHEN %(changed)s THEN utc() ELSE statechangetime END,"
        " starttime = COALESCE(%(start)s, starttime, CASE WHEN %(running)s THEN utc() END),"
        " endtime = COALESCE(%(end)s, endtime, CASE WHEN %(ended)s THEN utc() END),"
        " outcome = COALESCE(%(outcome)s, outcome), report = COALESCE(%(report)s, report)"
        " WHERE pandaid = %(id)s",
        {
            "id": job["pandaid"],
            "after": after,
            "attributes": Jsonb(_attributes(said)),
            "changed": changed,
            "running": after == "running",
            "ended": ended,
            "start": _moment(said["start_time"]),
            "end": _moment(said["end_time"]),
            "outcome": said["job_status"] if ended else None,
            "report": said["job_output_report"] if ended else None,
        },
    )


def _attributes(said: Mapping[str, Any]) -> dict[str, Any]:
    """What was said, as attributes of the job's description."""
    noted: dict[str, Any] = {}
    for name, (attribute, longest) in _REPORTED.items():
        value = said.get(name)
        if value in (None, ""):
            continue
        if isinstance(value, str):
            noted[attribute] = value[:longest]
        elif isinstance(value, int | float) and abs(value) < 2**53:
            noted[attribute] = int(value) // 1024 if name in _IN_KIB else value
    return noted


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S") if text else None
    except ValueError:
        return None
