"""Changes of state that several parts make, each within the caller's transaction.

Rows are locked in one order everywhere: jobs, then files, then tasks, each by ascending id. Whoever locks a task first
waits for no job and no file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from services.panda.server.database import Transaction
from services.panda.server.states import JOB_FINAL, JOB_QUEUED, JOB_WITH_PILOT, legal

KILLED = 100
# Tasks that give up what they have: nothing of theirs is tried again.
ABANDONING = ("aborting", "toabort", "aborted", "finishing", "passed", "prepared", "broken")


def touch(transaction: Transaction, task_ids: Iterable[int]) -> None:
    """Something of these tasks has changed: those who follow them must see it."""
    for task_id in sorted(set(task_ids)):
        transaction.execute("UPDATE tasks SET modificationtime = utc() WHERE jeditaskid = %s", [task_id])


def move_task(transaction: Transaction, task_id: int, before: Sequence[str], after: str) -> bool:
    """Change a task's state if it still is one of `before`; whether it was.

    Raises:
        ValueError: the table of moves does not have one of these.
    """
    if not all(legal(one, after) for one in before):
        raise ValueError(f"no move from {', '.join(before)} to {after}")
    changed = transaction.execute(
        "UPDATE tasks SET status = %s, modificationtime = utc(), statechangetime = utc()"
        " WHERE jeditaskid = %s AND status = ANY(%s)",
        [after, task_id, list(before)],
    )
    return changed == 1


def end_jobs(transaction: Transaction, job_ids: Sequence[int], status: str, errors: Mapping[str, Any]) -> int:
    """End jobs without a result, those of them that are not with the adder; their files are tried again if they may be.

    Args:
        status: `failed`, `cancelled` or `closed`.
        errors: attributes of the jobs' descriptions that say why.

    Returns:
        How many jobs ended.
    """
    ended = transaction.rows(
        "UPDATE jobs SET status = %s, attributes = attributes || %s, outcome = NULL, command = NULL,"
        " modificationtime = utc(), statechangetime = utc(), endtime = COALESCE(endtime, utc())"
        " WHERE pandaid IN (SELECT pandaid FROM jobs WHERE pandaid = ANY(%s) AND status <> ALL(%s)"
        "                   ORDER BY pandaid FOR UPDATE)"
        " RETURNING pandaid, jeditaskid",
        [status, Jsonb(dict(errors)), list(job_ids), [*JOB_FINAL, "holding"]],
    )
    release_files(transaction, [job["pandaid"] for job in ended], status)
    touch(transaction, (job["jeditaskid"] for job in ended))
    return len(ended)


def release_files(transaction: Transaction, job_ids: Sequence[int], status: str) -> None:
    """Files whose jobs ended without a result: ready for another attempt, or failed after the last one."""
    if not job_ids:
        return
    transaction.execute("UPDATE jobfiles SET status = %s WHERE pandaid = ANY(%s)", [status, list(job_ids)])
    transaction.execute(
        "UPDATE files SET status = CASE"
        "   WHEN files.attemptnr >= files.maxattempt OR tasks.status = ANY(%s) THEN 'failed' ELSE 'ready' END"
        " FROM tasks WHERE tasks.jeditaskid = files.jeditaskid AND files.status = 'running'"
        " AND files.fileid IN (SELECT f.fileid FROM files f JOIN jobs j USING (jeditaskid)"
        "                      WHERE j.pandaid = ANY(%s) AND f.pandaid = j.pandaid AND f.status = 'running'"
        "                      ORDER BY f.fileid FOR UPDATE OF f)",
        [list(ABANDONING), list(job_ids)],
    )


def kill_jobs(transaction: Transaction, job_ids: Sequence[int], by: str) -> None:
    """Cancel jobs that are not yet with a pilot; have the pilots of the others told to stop.

    What the pilot has finished is left to the adder: its outputs may be in their dataset already.
    """
    reason = {"taskBufferErrorCode": KILLED, "taskBufferErrorDiag": f"killed by {by}"}
    queued = transaction.rows(
        "SELECT pandaid FROM jobs WHERE pandaid = ANY(%s) AND status = ANY(%s) ORDER BY pandaid FOR UPDATE",
        [list(job_ids), list(JOB_QUEUED)],
    )
    end_jobs(transaction, [job["pandaid"] for job in queued], "cancelled", reason)
    told = transaction.rows(
        "UPDATE jobs SET command = 'tobekilled', attributes = attributes || %s, modificationtime = utc()"
        " WHERE pandaid IN (SELECT pandaid FROM jobs WHERE pandaid = ANY(%s) AND status = ANY(%s)"
        "                   AND command IS NULL ORDER BY pandaid FOR UPDATE)"
        " RETURNING jeditaskid",
        [Jsonb(reason), list(job_ids), list(JOB_WITH_PILOT)],
    )
    touch(transaction, (job["jeditaskid"] for job in told))


def open_jobs(transaction: Transaction, task_id: int) -> list[int]:
    """Ids of the task's jobs that have not ended."""
    found = transaction.rows(
        "SELECT pandaid FROM jobs WHERE jeditaskid = %s"
        " AND status NOT IN ('finished', 'failed', 'cancelled', 'closed') ORDER BY pandaid",
        [task_id],
    )
    return [job["pandaid"] for job in found]
