"""Tasks and commands as they come in: what is accepted, what is a duplicate, what a task's state forbids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb

from services.panda.server.auth import Caller
from services.panda.server.changes import touch
from services.panda.server.database import Row, Transaction
from services.panda.server.states import refusal

PRIORITY = 1000
TASK_TYPE = "anal"
MANDATORY = ("taskName", "vo", "prodSourceLabel")
# A task in one of these takes a second submission of its name as an order to go on.
RESTARTED = ("finished", "failed", "aborted", "done", "exhausted")
# What a second submission may change.
CHANGEABLE = (
    "site",
    "cliParams",
    "nFiles",
    "nEvents",
    "nFilesPerJob",
    "nMaxFilesPerJob",
    "maxAttempt",
    "ramCount",
    "maxWalltime",
    "runUntilClosed",
)
ACCEPTED, QUEUED, ACTIVE, INCREMENTAL, FAILED = 0, 1, 2, 3, 4
NOT_FOUND, IRRELEVANT, RETRIED = 2, 4, 5
# How many attempts more a retry gives to failed files of a task that still runs.
MORE_ATTEMPTS = 5
ADVICE = (
    "You can re-submit the task with new parameters for the same or another input once it goes into"
    " finished/failed/done. Or you can retry the task once it goes into running/finished/failed/done."
    " Note that retry != resubmission according to"
    " https://twiki.cern.ch/twiki/bin/view/PanDA/PandaJEDI#Task_retry_and_resubmission "
)

Answer = tuple[int, str]


def submit(
    transaction: Transaction, parameters: Mapping[str, Any], caller: Caller, parent: int | None
) -> Answer:
    """Store a new task, or tell which one has its name already.

    Returns:
        PanDA's code (0 accepted, 1 and 2 duplicate, 3 the old task goes on, 4 refused) and message.
    """
    missing = [
        name for name in MANDATORY if not isinstance(parameters.get(name), str) or not parameters[name]
    ]
    if missing:
        return FAILED, f"task_parameters lacks {', '.join(missing)} (text)"
    params = _owned(parameters, caller)
    unique = params["taskType"] == TASK_TYPE and params.get("uniqueTaskName") is True
    if unique and (old := _namesake(transaction, params)) is not None:
        return _again(transaction, old, params)
    task = transaction.one(
        "INSERT INTO tasks (taskname, status, username, vo, prodsourcelabel, site, params, parent_tid)"
        " VALUES (%s, 'waiting', %s, %s, %s, %s, %s, %s) RETURNING jeditaskid",
        [
            params["taskName"],
            params["userName"],
            params["vo"],
            params["prodSourceLabel"],
            params["site"] if isinstance(params.get("site"), str) else None,
            Jsonb(params),
            parent,
        ],
    )
    return ACCEPTED, f"succeeded. new jediTaskID={task['jeditaskid']}"


def register(
    transaction: Transaction,
    task_id: int,
    command: str,
    caller: Caller,
    parameters: Mapping[str, Any] | None = None,
) -> Answer:
    """Note a command for a task, to be carried out by the steps, unless the task's state forbids it.

    Returns:
        PanDA's code (0 registered, 2 no such task, 4 not in this state, 5 failed files are tried again) and message.
    """
    task = transaction.row("SELECT * FROM tasks WHERE jeditaskid = %s FOR UPDATE", [task_id])
    if task is None or task["status"] == "waiting":
        return NOT_FOUND, f"jediTaskID={task_id} not found"
    refused = refusal(command, task["status"], production=caller.production)
    if refused:
        if command == "retry" and task["status"] == "running":
            return RETRIED, str(task["status"])
        return IRRELEVANT, refused
    by = {**(parameters or {}), "by": caller.name}
    transaction.execute(
        "UPDATE tasks SET command = %s, command_params = %s, modificationtime = utc() WHERE jeditaskid = %s",
        [command, Jsonb(by), task_id],
    )
    return (
        ACCEPTED,
        f"command={command} is registered for task ID {task_id}. will be executed in a few minutes",
    )


def retry_failed_files(transaction: Transaction, task_id: int) -> None:
    """Give the failed files of a running task more attempts."""
    transaction.execute(
        "UPDATE files SET status = 'ready', maxattempt = attemptnr + %s"
        " WHERE jeditaskid = %s AND status = 'failed'",
        [MORE_ATTEMPTS, task_id],
    )
    touch(transaction, [task_id])


def _owned(parameters: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """The parameters with owner, type and priority; who has no production role cannot choose them."""
    params = dict(parameters)
    if not caller.production or "userName" not in params:
        params["userName"] = caller.name
    if not caller.production or not isinstance(params.get("taskType"), str):
        params["taskType"] = TASK_TYPE
    if not caller.production or not isinstance(params.get("taskPriority"), int):
        params["taskPriority"] = PRIORITY
    params["userName"] = str(params["userName"])
    return params


def _namesake(transaction: Transaction, params: Mapping[str, Any]) -> Row | None:
    transaction.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [params["taskName"]])
    return transaction.row(
        "SELECT jeditaskid, status FROM tasks WHERE taskname = %s AND username = %s AND vo = %s"
        " AND prodsourcelabel = %s ORDER BY jeditaskid DESC LIMIT 1 FOR UPDATE",
        [params["taskName"], params["userName"], params["vo"], params["prodSourceLabel"]],
    )


def _again(transaction: Transaction, old: Row, params: Mapping[str, Any]) -> Answer:
    number, status, name = old["jeditaskid"], old["status"], params["taskName"]
    if status == "waiting":
        return (
            QUEUED,
            f"jediTaskID={number} is already queued for outDS={name}. You cannot submit duplicated tasks. ",
        )
    if status not in RESTARTED:
        return ACTIVE, f"jediTaskID={number} is in the {status} state for outDS={name}. {ADVICE}"
    changes = {key: value for key, value in params.items() if key in CHANGEABLE or key.startswith("dsFor")}
    transaction.execute(
        "UPDATE tasks SET command = 'incexec', command_params = %s, modificationtime = utc()"
        " WHERE jeditaskid = %s",
        [Jsonb({"new_parameters": changes, "by": params["userName"]}), number],
    )
    return (
        INCREMENTAL,
        f"reactivation accepted. jediTaskID={number} (currently in {status} state)"
        " will be re-executed with old and/or new input",
    )
