"""Jobs for files that are ready, and their way to the queue: defined -> assigned -> activated."""

from __future__ import annotations

import uuid
from collections import defaultdict
from typing import Any

from psycopg.types.json import Jsonb

from services.panda.queues import QUEUES
from services.panda.server.catalogue import Catalogue, Did
from services.panda.server.changes import move_task, touch
from services.panda.server.database import Database, Row, Transaction
from services.panda.server.states import TASK_FED
from services.panda.server.templates import TRANSFORMATION, files_per_job, fill

FILES_AT_A_TIME = 500
ASSIGNED_AT_A_TIME = 50
PRIORITY = 1000
SECONDS = 86_400
DISK_MB = 300
RAM_MB = 2000
# PanDA asks for less than the task's parameter, to fit more jobs on a node.
RAM_SHARE = 0.9


def generate_jobs(database: Database) -> int:
    """Make jobs for all tasks that have ready files; returns how many."""
    with database.transaction() as transaction:
        tasks = transaction.rows(
            "SELECT jeditaskid FROM tasks WHERE status IN ('ready', 'running') AND command IS NULL AND EXISTS"
            " (SELECT 1 FROM files WHERE files.jeditaskid = tasks.jeditaskid AND files.status = 'ready' AND attached)"
            " ORDER BY jeditaskid"
        )
    made = 0
    for task in tasks:
        with database.transaction() as transaction:
            made += _generate(transaction, task["jeditaskid"])
    return made


def _generate(transaction: Transaction, task_id: int) -> int:
    task = transaction.one("SELECT * FROM tasks WHERE jeditaskid = %s FOR UPDATE", [task_id])
    if task["status"] not in ("ready", "running") or task["command"]:
        return 0
    files = transaction.rows(
        "SELECT files.*, datasets.name AS dataset, datasets.type FROM files JOIN datasets USING (datasetid)"
        " WHERE files.jeditaskid = %s AND files.status = 'ready' AND attached"
        " ORDER BY fileid LIMIT %s FOR UPDATE OF files SKIP LOCKED",
        [task_id, FILES_AT_A_TIME],
    )
    streams = transaction.rows(
        "SELECT * FROM datasets WHERE jeditaskid = %s AND type IN ('output', 'log') ORDER BY datasetid",
        [task_id],
    )
    groups = _groups(transaction, task, files)
    for number, group in enumerate(groups, start=1):
        _make(transaction, task, group, streams, task["serial"] + number)
    if groups:
        transaction.execute(
            "UPDATE tasks SET serial = serial + %s WHERE jeditaskid = %s", [len(groups), task_id]
        )
        move_task(transaction, task_id, ["ready"], "running")
        touch(transaction, [task_id])
    return len(groups)


def _groups(transaction: Transaction, task: Row, files: list[Row]) -> list[list[Row]]:
    """The files of one job each; the last, smaller group waits while its dataset may still grow."""
    size = files_per_job(task["params"])
    groups = [files[start : start + size] for start in range(0, len(files), size)]
    if groups and len(groups[-1]) < size and "nFilesPerJob" in task["params"]:
        growing = transaction.row(
            "SELECT 1 FROM datasets WHERE jeditaskid = %s AND type = 'input' AND is_open",
            [task["jeditaskid"]],
        )
        if growing and task["params"].get("runUntilClosed") is True:
            groups.pop()
    return groups


def _make(transaction: Transaction, task: Row, files: list[Row], streams: list[Row], serial: int) -> None:
    """One job with its files."""
    params = task["params"]
    inputs = [file["lfn"] if file["type"] == "input" else file["pfn"] for file in files]
    attempt = max(file["attemptnr"] for file in files) + 1
    job = transaction.one(
        "INSERT INTO jobs (jeditaskid, status, site, username, prodsourcelabel, priority, attemptnr,"
        " job_parameters, attributes) VALUES (%s, 'defined', %s, %s, %s, %s, %s, %s, %s) RETURNING pandaid",
        [
            task["jeditaskid"],
            params["site"],
            task["username"],
            task["prodsourcelabel"],
            _number(params, "currentPriority", PRIORITY),
            attempt,
            fill(task["template"], task["jeditaskid"], serial, [name for name in inputs if name]),
            Jsonb(_attributes(task)),
        ],
    )
    ids = [file["fileid"] for file in files]
    transaction.execute(
        "UPDATE files SET status = 'running', attemptnr = attemptnr + 1, pandaid = %s WHERE fileid = ANY(%s)",
        [job["pandaid"], ids],
    )
    common = job["pandaid"], task["jeditaskid"]
    rows: list[tuple[Any, ...]] = [
        (
            *common,
            file["datasetid"],
            file["fileid"],
            file["type"],
            file["lfn"],
            file["scope"],
            str(uuid.uuid4()) if file["type"] == "pseudo_input" else None,
            file["fsize"],
            file["checksum"],
        )
        for file in files
    ]
    for one in streams:
        name = fill(one["lfn_template"], task["jeditaskid"], serial)
        guid = str(uuid.uuid4()) if one["type"] == "log" else None
        rows.append((*common, one["datasetid"], None, one["type"], name, one["scope"], guid, 0, None))
    transaction.many(
        "INSERT INTO jobfiles (pandaid, jeditaskid, datasetid, fileid, type, lfn, scope, guid, fsize, checksum)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        rows,
    )


def _attributes(task: Row) -> dict[str, Any]:
    params = task["params"]
    seconds = _number(params, "maxWalltime", 0)
    return {
        "transformation": TRANSFORMATION,
        "minRamCount": int(_number(params, "ramCount", RAM_MB) * RAM_SHARE),
        # prun takes hours.
        "maxWalltime": seconds * 3600 if seconds else SECONDS,
        "maxCpuCount": seconds * 3600 if seconds else SECONDS,
        "maxDiskCount": DISK_MB,
        "coreCount": _number(params, "coreCount", 1),
        "processingType": params.get("processingType"),
        "workingGroup": params.get("workingGroup"),
        "cloud": params.get("workingGroup"),
        "VO": task["vo"],
    }


def _number(params: dict[str, Any], name: str, default: int) -> int:
    value = params.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 else default


class Stager:
    """Brings jobs to the queue when their input is at its site."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = catalogue
        self._turn = 0
        self._newest = 0

    def assign(self) -> int:
        """defined -> assigned for jobs with an input from a catalogue, -> activated for the others."""
        with self._database.transaction() as transaction:
            jobs = transaction.rows(
                "UPDATE jobs SET statechangetime = utc(), modificationtime = utc(), status ="
                "  CASE WHEN EXISTS (SELECT 1 FROM jobfiles WHERE jobfiles.pandaid = jobs.pandaid AND type = 'input')"
                "  THEN 'assigned' ELSE 'activated' END"
                " WHERE pandaid IN (SELECT pandaid FROM jobs WHERE status = 'defined' ORDER BY pandaid FOR UPDATE)"
                " RETURNING jeditaskid"
            )
            touch(transaction, (job["jeditaskid"] for job in jobs))
        return len(jobs)

    def activate_new(self) -> int:
        """assigned -> activated for the jobs that have come since the last look: most have their input already."""
        ids, activated = self._look(self._newest)
        self._newest = max([*ids, self._newest])
        return activated

    def activate(self) -> int:
        """assigned -> activated, as soon as Rucio has all inputs of the job available at its queue's storage.

        The oldest are looked at every time, the others by turns: copies come in about this order, and to be asked for all
        of them would take Rucio the time in which it makes copies.
        """
        oldest, activated = self._look(0)
        turn, more = self._look(max([*oldest, self._turn]))
        self._turn = max(turn) if len(turn) == ASSIGNED_AT_A_TIME else 0
        return activated + more

    def _look(self, above: int) -> tuple[set[int], int]:
        """Ids of the jobs looked at, and how many of them could be activated."""
        with self._database.transaction() as transaction:
            rows = transaction.rows(
                "SELECT jobs.pandaid, jobs.site, jobfiles.scope, jobfiles.lfn FROM jobfiles JOIN"
                " (SELECT jobs.pandaid, jobs.site FROM jobs JOIN tasks USING (jeditaskid)"
                "  WHERE jobs.status = 'assigned' AND jobs.pandaid > %s AND tasks.status = ANY(%s)"
                "  ORDER BY jobs.pandaid LIMIT %s) jobs USING (pandaid) WHERE type = 'input'",
                [above, list(TASK_FED), ASSIGNED_AT_A_TIME],
            )
        return {row["pandaid"] for row in rows}, self._activate(sorted(self._complete(rows)))

    def _complete(self, rows: list[Row]) -> set[int]:
        """Ids of the jobs whose inputs are all available."""
        inputs: dict[str, dict[int, set[Did]]] = defaultdict(lambda: defaultdict(set))
        for row in rows:
            inputs[row["site"]][row["pandaid"]].add((row["scope"], row["lfn"]))
        complete: set[int] = set()
        for site, jobs in inputs.items():
            there = self._catalogue.available(sorted(set().union(*jobs.values())), QUEUES[site].rse)
            complete |= {job for job, dids in jobs.items() if dids <= there.keys()}
        return complete

    def _activate(self, job_ids: list[int]) -> int:
        if not job_ids:
            return 0
        with self._database.transaction() as transaction:
            jobs = transaction.rows(
                "UPDATE jobs SET status = 'activated', statechangetime = utc(), modificationtime = utc()"
                " WHERE pandaid IN (SELECT pandaid FROM jobs WHERE pandaid = ANY(%s) AND status = 'assigned'"
                "                   ORDER BY pandaid FOR UPDATE) RETURNING jeditaskid",
                [job_ids],
            )
            touch(transaction, (job["jeditaskid"] for job in jobs))
        return len(jobs)
