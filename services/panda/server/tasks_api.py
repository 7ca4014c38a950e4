"""The methods `task/...`."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

from services.panda.server.descriptions import describe_jobs, describe_tasks
from services.panda.server.envelope import Call, Reply, failed, method, ok, reply
from services.panda.server.selections import (
    datasets_and_files,
    details,
    digests,
    known_task,
    modified_since,
    tasks_by_criteria,
)
from services.panda.server.submit import RETRIED, Answer, register, retry_failed_files
from services.panda.server.submit import submit as submit_task

INPUT_TYPES = ("input", "pseudo_input")
TASK_ID = "jediTaskID must be an integer"
REGEX = "^$*+?\\|()"


@method("task/submit", "POST")
def submit(call: Call, task_parameters: dict[str, Any], parent_tid: int | None = None) -> Reply:
    """Take a new task."""
    with call.database.transaction() as transaction:
        code, message = submit_task(transaction, task_parameters, call.caller, parent_tid)
    if code not in (0, 3):
        return failed(message, code)
    return ok(int(message.partition("jediTaskID=")[2].split()[0]), message)


@method("task/get_status", "GET")
def get_status(call: Call, task_id: object) -> Reply:
    """The state of a task."""
    number = _whole(task_id)
    if number is None:
        return failed(TASK_ID)
    with call.database.transaction() as transaction:
        task = known_task(transaction, number)
    return ok(task["status"]) if task else failed("Task not found")


@method("task/get_details", "GET")
def get_details(
    call: Call,
    task_id: int,
    include_parameters: bool = False,
    include_status: bool = False,
) -> Reply:
    """Datasets, statistics and open jobs of a task."""
    with call.database.transaction() as transaction:
        task = known_task(transaction, task_id)
        if task is None:
            return failed("Task not found or error retrieving the details")
        found = details(transaction, task)
    if include_status:
        found["status"] = task["status"]
    if include_parameters:
        found["cliParams"] = task["params"].get("cliParams", "")
    return ok(found)


@method("task/get_detailed_info", "GET")
def get_detailed_info(call: Call, task_id: int) -> Reply:
    """Everything about a task."""
    with call.database.transaction() as transaction:
        task = known_task(transaction, task_id)
        if task is None:
            return failed("Task not found or error retrieving task info")
        return ok(describe_tasks(transaction, [task])[0])


@method("task/get_task_parameters", "GET", secure=False)
def get_task_parameters(call: Call, task_id: int) -> Reply:
    """The parameters as submitted, with what the server forces on them."""
    with call.database.transaction() as transaction:
        task = transaction.row("SELECT params FROM tasks WHERE jeditaskid = %s", [task_id])
    return ok(task["params"]) if task else failed("Task not found")


@method("task/get_job_ids", "GET")
def get_job_ids(call: Call, task_id: int) -> Reply:
    """PandaIDs of all jobs of a task."""
    with call.database.transaction() as transaction:
        jobs = transaction.rows("SELECT pandaid FROM jobs WHERE jeditaskid = %s ORDER BY pandaid", [task_id])
    return ok([job["pandaid"] for job in jobs])


@method("task/get_job_descriptions", "GET")
def get_job_descriptions(
    call: Call,
    task_id: int,
    unsuccessful_only: bool = False,
) -> Reply:
    """Descriptions of all jobs of a task, or of those that ended without success."""
    with call.database.transaction() as transaction:
        jobs = transaction.rows(
            "SELECT pandaid FROM jobs WHERE jeditaskid = %s AND (NOT %s OR status = ANY(%s)) ORDER BY pandaid",
            [task_id, unsuccessful_only, ["failed", "cancelled", "closed"]],
        )
        described = describe_jobs(transaction, [job["pandaid"] for job in jobs])
    for one in described.values():
        ended = one["endTime"] and one["startTime"]
        one["jobDuration"] = int((one["endTime"] - one["startTime"]).total_seconds()) if ended else None
        one["extendedProdSourceLabel"] = f"{one['prodSourceLabel']}_normal"
    return ok([described[number] for number in sorted(described)])


@method("task/get_datasets_and_files", "GET")
def get_datasets_and_files(
    call: Call,
    task_id: object,
    dataset_types: list[str] | None = None,
    dataset_only: bool = False,
) -> Reply:
    """The datasets of a task and the state of their files."""
    number = _whole(task_id)
    if number is None:
        return failed(TASK_ID)
    with call.database.transaction() as transaction:
        found = datasets_and_files(
            transaction, number, dataset_types or list(INPUT_TYPES), with_files=not dataset_only
        )
    return ok(found) if found else failed("No data found for the task")


@method("task/get_tasks_modified_since", "GET")
def get_tasks_modified_since(
    call: Call,
    since: str,
    dn: str | None = None,
    full: bool = False,
    min_task_id: int | None = None,
    prod_source_label: str = "user",
) -> Reply:
    """Digests of the caller's tasks of a label that have changed since; of another's for the production role."""
    owner = dn if dn and call.caller.production else call.user
    moment = _moment(since)
    if moment is None:
        return failed(f"since must be a time such as 2026-11-22 15:45:07, got {since!r}")
    with call.database.transaction() as transaction:
        tasks = modified_since(transaction, owner, moment, min_task_id or 0, prod_source_label)
        return ok(digests(transaction, tasks, full=full))


@method("task/get_tasks_detailed_info_since", "GET")
def get_tasks_detailed_info_since(
    call: Call,
    since: str | None = None,
    filters: str | None = None,
    n_tasks: int = 500,
) -> Reply:
    """Everything about the caller's tasks that have changed since and meet the filters (attribute to value, in JSON).

    Tasks of another owner are for the production role.
    """
    try:
        given = json.loads(filters) if filters else {}
    except (ValueError, RecursionError):
        return failed("filters is not valid JSON")
    if not isinstance(given, dict):
        return failed("filters must be a JSON object")
    criteria = {"userName": call.user, **{name: one for name, one in given.items() if not _is_pattern(one)}}
    if not call.caller.production:
        criteria["userName"] = call.user
    patterns = {name: value for name, value in given.items() if _is_pattern(value)}
    moment = _moment(since) if since else datetime.min
    if moment is None:
        return failed("Failed to retrieve task IDs")
    with call.database.transaction() as transaction:
        tasks = tasks_by_criteria(transaction, criteria, moment, n_tasks)
        if tasks is None:
            return failed("Failed to retrieve task IDs")
        described = describe_tasks(transaction, tasks)
    return ok([one for one in described if _matches(one, patterns)])


@method("task/kill", "POST", owner=True)
def kill(call: Call, task_id: int, broadcast: bool = False) -> Reply:
    """Have a task aborted."""
    return _command(call, task_id, "kill")


@method("task/finish", "POST", owner=True)
def finish(
    call: Call,
    task_id: int,
    soft: bool = False,
    broadcast: bool = False,
) -> Reply:
    """Have a task end with what it has; `soft` lets running jobs finish."""
    return _command(call, task_id, "finish", {"soft": soft})


@method("task/reload_input", "POST", owner=True)
def reload_input(call: Call, task_id: int, ignore_hard_exhausted: bool = False) -> Reply:
    """Have an ended task look at its input dataset again and go on."""
    return _command(call, task_id, "incexec")


@method("task/retry", "POST", owner=True)
def retry(
    call: Call,
    task_id: int,
    new_parameters: dict[str, Any] | str | None = None,
    no_child_retry: bool = False,
    discard_events: bool = False,
    disable_staging_mode: bool = False,
    keep_gshare_priority: bool = False,
    ignore_hard_exhausted: bool = False,
) -> Reply:
    """Have an ended task try its failed files again; a success for PanDA even when refused, which the code tells."""
    with call.database.transaction() as transaction:
        if new_parameters:
            code, message = _with_new_parameters(call, task_id, new_parameters)
        else:
            code, message = register(transaction, task_id, "retry", call.caller)
        if code == RETRIED:
            retry_failed_files(transaction, task_id)
            code = 3 if new_parameters else 0
            message = f"retry has been triggered for failed jobs while the task is still {message}"
    return ok(code, message)


@method("task/pause", "POST", production=True)
def pause(call: Call, task_id: int) -> Reply:
    """Make no more jobs of a task, and start none."""
    return _command(call, task_id, "pause")


@method("task/resume", "POST", production=True)
def resume(call: Call, task_id: int) -> Reply:
    """End a pause."""
    return _command(call, task_id, "resume")


@method("task/increase_attempts", "POST", production=True)
def increase_attempts(call: Call, task_id: int, increase: int) -> Reply:
    """Allow more attempts for the files of a task."""
    if not 0 <= increase < 1000:
        return failed(f"increase must be a positive integer, got {increase}")
    with call.database.transaction() as transaction:
        if known_task(transaction, task_id) is None:
            return failed("unknown task", 1)
        transaction.execute(
            "UPDATE files SET maxattempt = maxattempt + %s WHERE jeditaskid = %s AND status <> 'finished'",
            [increase, task_id],
        )
    return ok(0, f"attempts of task {task_id} increased by {increase}")


@method("task/reactivate", "POST", production=True)
def reactivate(
    call: Call,
    task_id: int,
    keep_attempt_nr: bool = False,
    trigger_job_generation: bool = False,
) -> Reply:
    """Not offered: said to whoever is allowed to ask."""
    return failed("the embedded server does not reactivate tasks; use retry or reload_input")


def _command(call: Call, task_id: int, command: str, parameters: dict[str, Any] | None = None) -> Reply:
    with call.database.transaction() as transaction:
        code, message = register(transaction, task_id, command, call.caller, parameters)
    return reply(success=code == 0, message=message, data=code)


def _with_new_parameters(call: Call, task_id: int, given: dict[str, Any] | str) -> Answer:
    """As PanDA does it: the old parameters with the new ones are submitted again."""
    try:
        new = json.loads(given) if isinstance(given, str) else given
        changes = dict(new)
    except (ValueError, TypeError, RecursionError) as error:
        return 1, f"new parameter conversion failed with {error}"
    with call.database.transaction() as transaction:
        task = transaction.row("SELECT params FROM tasks WHERE jeditaskid = %s", [task_id])
        if task is None:
            return 2, f"jediTaskID={task_id} not found"
        params = {**task["params"], **changes, "taskName": task["params"]["taskName"], "uniqueTaskName": True}
        return submit_task(transaction, params, call.caller, None)


def _whole(value: object) -> int | None:
    try:
        number = int(str(value))
    except ValueError:
        return None
    return number if abs(number) < 2**63 else None


def _moment(text: str) -> datetime | None:
    for pattern in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f"):
        try:
            return datetime.strptime(text, pattern)
        except ValueError:
            continue
    return None


def _is_pattern(value: object) -> bool:
    return isinstance(value, str) and any(sign in value for sign in REGEX)


def _matches(task: dict[str, Any], patterns: dict[str, str]) -> bool:
    try:
        return all(re.search(pattern, str(task[name])) for name, pattern in patterns.items() if name in task)
    except re.error:
        return False
