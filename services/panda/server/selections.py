"""What the methods of tasks read."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

from services.panda.server.database import Row, Transaction

MOST_TASKS = 500
# Attributes by which tasks can be selected, and their columns.
CRITERIA = {
    "jediTaskID": "jeditaskid",
    "reqID": "jeditaskid",
    "taskName": "taskname",
    "status": "status",
    "userName": "username",
    "vo": "vo",
    "prodSourceLabel": "prodsourcelabel",
    "site": "site",
    "processingType": "params->>'processingType'",
    "workingGroup": "params->>'workingGroup'",
}
# SQL: the state of an input file as it is shown.
SHOWN_STATUS = "CASE WHEN NOT attached AND files.status <> 'finished' THEN 'missing' ELSE files.status END"
_STARTED = ("running", "transferring", "holding")


def known_task(transaction: Transaction, task_id: int) -> Row | None:
    """The task's row; None also while it waits to be taken in, as with PanDA."""
    return transaction.row("SELECT * FROM tasks WHERE jeditaskid = %s AND status <> 'waiting'", [task_id])


def details(transaction: Transaction, task: Row) -> dict[str, Any]:
    """The short details of a task."""
    datasets = _datasets(transaction, [task["jeditaskid"]])[task["jeditaskid"]]
    files = transaction.rows(
        f"SELECT {SHOWN_STATUS} AS status, count(*) AS number, array_remove(array_agg(pandaid), NULL) AS jobs"  # noqa: S608 - constants of this module
        " FROM files WHERE jeditaskid = %s GROUP BY 1",
        [task["jeditaskid"]],
    )
    names = {"ready": "tobedone", "running": "picked"}
    counts = {names.get(row["status"], row["status"]): row["number"] for row in files}
    order = ("tobedone", "finished", "failed", "missing", "picked")
    return {
        "inDS": ",".join(_name(one) for one in datasets if one["type"] == "input"),
        "outDS": ",".join(_name(one) for one in datasets if one["type"] in ("output", "log")),
        "statistics": ",".join(f"{name}*{counts[name]}" for name in order if name in counts),
        "PandaID": sorted({job for row in files for job in row["jobs"]}),
        "mergeStatus": None,
        "mergePandaID": [],
    }


def datasets_and_files(
    transaction: Transaction, task_id: int, types: list[str], *, with_files: bool
) -> list[dict[str, Any]]:
    """Datasets of these types, each with its files."""
    datasets = [one for one in _datasets(transaction, [task_id])[task_id] if one["type"] in types]
    found = []
    for one in datasets:
        shown: dict[str, Any] = {"dataset": {"name": _name(one), "id": one["datasetid"]}}
        if with_files:
            query = (
                f"SELECT lfn, scope, fileid AS id, {SHOWN_STATUS} AS status FROM files"  # noqa: S608 - constants of this module
                if one["type"] in ("input", "pseudo_input")
                else "SELECT lfn, scope, rowid AS id, status, rowid AS fileid FROM jobfiles"
            )
            rows = transaction.rows(f"{query} WHERE datasetid = %s ORDER BY fileid", [one["datasetid"]])
            shown["files"] = [{key: row[key] for key in ("lfn", "scope", "id", "status")} for row in rows]
        found.append(shown)
    return found


def modified_since(
    transaction: Transaction, owner: str, since: datetime, above: int, label: str
) -> list[Row]:
    """Tasks of one owner and label that have changed at or after `since` (UTC), the oldest first."""
    return transaction.rows(
        "SELECT * FROM tasks WHERE username = %s AND modificationtime >= %s AND prodsourcelabel = %s"
        " AND jeditaskid > %s AND status <> 'waiting' ORDER BY jeditaskid LIMIT %s",
        [owner, since, label, above, MOST_TASKS],
    )


def tasks_by_criteria(
    transaction: Transaction, criteria: dict[str, Any], since: datetime, most: int
) -> list[Row] | None:
    """Tasks that have changed since and whose attributes have these values; None for an unknown attribute."""
    if not set(criteria) <= set(CRITERIA):
        return None
    conditions = ["modificationtime >= %s", "status <> 'waiting'"]
    values: list[Any] = [since]
    for name, value in criteria.items():
        column = CRITERIA[name]
        if value in (None, "NULL", "NOT NULL"):
            conditions.append(f"{column} IS {value or 'NULL'}")
        else:
            conditions.append(f"{column}::text = %s" if column == "jeditaskid" else f"{column} = %s")
            values.append(str(value))
    where = " AND ".join(conditions)
    return transaction.rows(
        f"SELECT * FROM tasks WHERE {where} ORDER BY jeditaskid LIMIT %s",  # noqa: S608 - constants of this module
        [*values, max(0, min(most, MOST_TASKS))],
    )


def digests(transaction: Transaction, tasks: list[Row], *, full: bool) -> dict[str, dict[str, Any]]:
    """Short descriptions by id, the full ones with datasets and statistics."""
    shown = {str(task["jeditaskid"]): _digest(task) for task in tasks}
    if full and tasks:
        ids = [task["jeditaskid"] for task in tasks]
        datasets, statistics = _datasets(transaction, ids), _statistics(transaction, ids)
        for task in tasks:
            shown[str(task["jeditaskid"])] |= {
                "inDS": _names(datasets[task["jeditaskid"]], ("input", "pseudo_input")),
                "outDS": _names(datasets[task["jeditaskid"]], ("output",)),
                "statistics": statistics[task["jeditaskid"]],
                "PandaID": [],
                "mergeStatus": None,
                "mergePandaID": [],
                "cliParams": task["params"].get("cliParams", ""),
            }
    return shown


def _digest(task: Row) -> dict[str, Any]:
    params = task["params"]
    return {
        "jediTaskID": task["jeditaskid"],
        "modificationTime": task["modificationtime"],
        "status": task["status"],
        "processingType": params.get("processingType"),
        "transUses": params.get("transUses"),
        "transHome": params.get("transHome"),
        "architecture": params.get("architecture"),
        "reqID": task["jeditaskid"],
        "creationDate": task["creationdate"],
        "site": task["site"],
        "cloud": params.get("workingGroup"),
        "taskName": task["taskname"],
    }


def _datasets(transaction: Transaction, task_ids: list[int]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = defaultdict(list)
    rows = transaction.rows(
        "SELECT * FROM datasets WHERE jeditaskid = ANY(%s) ORDER BY datasetid", [task_ids]
    )
    for row in rows:
        found[row["jeditaskid"]].append(row)
    return found


def _statistics(transaction: Transaction, task_ids: list[int]) -> dict[int, str]:
    """Input files by state, such as `finished*3`; a file whose job has not begun counts as ready."""
    rows = transaction.rows(
        f"SELECT files.jeditaskid, CASE WHEN files.status = 'running' AND jobs.status <> ALL(%s) AND attached"  # noqa: S608 - constants of this module
        f" THEN 'ready' ELSE {SHOWN_STATUS} END AS status, count(*) AS number"
        " FROM files LEFT JOIN jobs ON jobs.pandaid = files.pandaid WHERE files.jeditaskid = ANY(%s)"
        " GROUP BY 1, 2 ORDER BY 1, 2",
        [list(_STARTED), task_ids],
    )
    words: dict[int, list[str]] = defaultdict(list)
    for row in rows:
        words[row["jeditaskid"]].append(f"{row['status']}*{row['number']}")
    return {task_id: ",".join(words[task_id]) for task_id in task_ids}


def _names(datasets: list[Row], types: tuple[str, ...]) -> str:
    return ",".join(sorted({_name(one) for one in datasets if one["type"] in types}))


def _name(dataset: Row) -> str:
    if dataset["container"]:
        return str(dataset["container"])
    return f"{dataset['scope']}:{dataset['name']}" if dataset["scope"] else str(dataset["name"])
