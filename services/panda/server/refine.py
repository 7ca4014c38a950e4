"""The first steps of a task: taken into the server's own tables, its parameters read, its datasets made known."""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb

from services.panda.queues import QUEUES
from services.panda.server.catalogue import Catalogue, CatalogueRefuses
from services.panda.server.changes import move_task
from services.panda.server.database import Database, Row, Transaction
from services.panda.server.templates import (
    TRANSFORMATION,
    BadTask,
    TaskPlan,
    max_attempt,
    plan,
    pseudo_name,
    wanted,
)

AT_A_TIME = 20
PSEUDO = "pseudo_dataset"
RAM_MB = 2000


def register_tasks(database: Database) -> int:
    """waiting -> registered: from now on the task can be asked for."""
    with database.transaction() as transaction:
        return transaction.execute(
            "UPDATE tasks SET status = 'registered', statechangetime = utc(), modificationtime = utc(),"
            " starttime = utc() WHERE status = 'waiting'"
        )


def refine_tasks(database: Database, catalogue: Catalogue) -> int:
    """registered or rerefine -> defined, or tobroken with the reason."""
    with database.transaction() as transaction:
        tasks = transaction.rows(
            "SELECT * FROM tasks WHERE status IN ('registered', 'rerefine') ORDER BY jeditaskid LIMIT %s",
            [AT_A_TIME],
        )
    for task in tasks:
        _refine(database, catalogue, task)
    return len(tasks)


def break_tasks(database: Database) -> int:
    """tobroken -> broken."""
    with database.transaction() as transaction:
        return transaction.execute(
            "UPDATE tasks SET status = 'broken', statechangetime = utc(), modificationtime = utc(),"
            " endtime = utc() WHERE status = 'tobroken'"
        )


def _refine(database: Database, catalogue: Catalogue, task: Row) -> None:
    try:
        planned = _checked(catalogue, task)
    except (BadTask, CatalogueRefuses) as error:
        reason: str | None = str(error)
        with database.transaction() as transaction:
            if move_task(transaction, task["jeditaskid"], [task["status"]], "tobroken"):
                transaction.execute(
                    "UPDATE tasks SET errordialog = %s WHERE jeditaskid = %s", [reason, task["jeditaskid"]]
                )
        return
    with database.transaction() as transaction:
        if move_task(transaction, task["jeditaskid"], [task["status"]], "defined"):
            _store(transaction, task, planned)


def _checked(catalogue: Catalogue, task: Row) -> TaskPlan:
    """The task's plan, if there are its queue and its input dataset."""
    site = task["params"].get("site")
    if not isinstance(site, str) or site not in QUEUES:
        raise BadTask(
            f"unknown site {site!r}: this server has the queues {', '.join(QUEUES)}; it does no brokerage,"
            " so that the task must name one"
        )
    planned = plan(task["params"])
    wanted(task["params"], "")  # a pattern that is none is found here
    if planned.dataset and catalogue.dataset(planned.dataset) is None:
        raise BadTask(f"unknown input dataset {':'.join(planned.dataset)}")
    return planned


def _store(transaction: Transaction, task: Row, planned: TaskPlan) -> None:
    task_id = task["jeditaskid"]
    transaction.execute(
        "UPDATE tasks SET refined = %s, template = %s, errordialog = NULL, activatedtime = utc(),"
        " endtime = NULL WHERE jeditaskid = %s",
        [Jsonb(refined(task["params"])), planned.template, task_id],
    )
    there = transaction.rows("SELECT type, scope, name FROM datasets WHERE jeditaskid = %s", [task_id])
    known = {(one["type"], one["scope"], one["name"]) for one in there}
    if planned.dataset:
        _add_dataset(transaction, task_id, known, ("input", *planned.dataset))
    elif not any(kind == "pseudo_input" for kind, _, _ in known):
        _add_pseudo(transaction, task, planned)
    for stream in planned.streams:
        key = stream.type, stream.scope, stream.dataset
        _add_dataset(transaction, task_id, known, key, stream.container, stream.lfn)


def _add_dataset(
    transaction: Transaction,
    task_id: int,
    known: set[tuple[str, str | None, str]],
    key: tuple[str, str, str],
    container: str | None = None,
    lfn: str | None = None,
) -> None:
    if key in known:
        return
    kind, scope, name = key
    transaction.execute(
        "INSERT INTO datasets (jeditaskid, type, scope, name, container, lfn_template)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        [task_id, kind, scope, name, container, lfn],
    )


def _add_pseudo(transaction: Transaction, task: Row, planned: TaskPlan) -> None:
    made = transaction.one(
        "INSERT INTO datasets (jeditaskid, type, name, is_open, fed) VALUES (%s, 'pseudo_input', %s, false, true)"
        " RETURNING datasetid",
        [task["jeditaskid"], PSEUDO],
    )
    attempts = max_attempt(task["params"])
    transaction.many(
        "INSERT INTO files (jeditaskid, datasetid, lfn, pfn, maxattempt) VALUES (%s, %s, %s, %s, %s)",
        [
            (task["jeditaskid"], made["datasetid"], pseudo_name(number, pfn), pfn, attempts)
            for number, pfn in enumerate(planned.pfns)
        ],
    )


def refined(params: dict[str, Any]) -> dict[str, Any]:
    """The task's parameters with what the refiner adds, and its variables as JEDI shows them."""
    shown = {
        "cloud": params.get("workingGroup"),
        "transPath": TRANSFORMATION,
        "ramCount": RAM_MB,
        "ramUnit": "MBPerCore",
        "pushStatusChanges": True,
        "messageDriven": True,
        "cloudAsVO": True,
    }
    source, outputs, items = str(params.get("sourceURL") or ""), 0, []
    for item in params["jobParameters"]:
        kept = dict(item)
        if item.get("param_type") == "output":
            kept["value"] = f"${{OUTPUT{outputs}}}"
            outputs += 1
        elif isinstance(item.get("value"), str):
            kept["value"] = item["value"].replace("${SURL}", source)
        items.append(kept)
    result = {**params, **{key: value for key, value in shown.items() if key not in params}}
    result["jobParameters"] = items
    if isinstance(params.get("log"), dict):
        result["log"] = {**params["log"], "value": "${LOG0}"}
    return result
