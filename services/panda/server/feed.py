"""The input datasets of open tasks, followed in Rucio: new files are taken in, detached ones set aside."""

from __future__ import annotations

import time
from dataclasses import dataclass

from services.panda.server.catalogue import Catalogue, CatalogueFile, CatalogueRefuses, DatasetState
from services.panda.server.changes import move_task, touch
from services.panda.server.database import Database, Row, Transaction
from services.panda.server.states import TASK_FED
from services.panda.server.templates import max_attempt, wanted

# A dataset whose state has not changed is listed all the same after so long: one file may have replaced another.
RELIST_SECONDS = 5.0


@dataclass
class _Seen:
    state: DatasetState
    listed_at: float


class Feeder:
    """Keeps the files of open tasks as Rucio has them; what it remembers only spares it work."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = catalogue
        self._seen: dict[int, _Seen] = {}

    def feed(self) -> int:
        """Look at the dataset of every open task; returns how many files changed.

        Raises:
            CatalogueAway: Rucio is away.
            CatalogueRefuses: one of the datasets cannot be read; the others have been.
        """
        with self._database.transaction() as transaction:
            datasets = transaction.rows(
                "SELECT datasets.*, tasks.params FROM tasks JOIN datasets USING (jeditaskid)"
                " WHERE tasks.status = ANY(%s) AND datasets.type = 'input'"
                " AND (NOT fed OR (is_open AND (tasks.params->>'runUntilClosed')::boolean IS TRUE))"
                " ORDER BY datasetid",
                [list(TASK_FED)],
            )
        self._seen = {
            key: self._seen[key] for key in [one["datasetid"] for one in datasets] if key in self._seen
        }
        changed, refused = 0, None
        for one in datasets:
            try:
                changed += self._follow(one)
            except CatalogueRefuses as error:
                refused = error
        if refused is not None:
            raise refused
        return changed

    def _follow(self, dataset: Row) -> int:
        did = dataset["scope"], dataset["name"]
        state = self._catalogue.dataset(did)
        if state is None:
            raise CatalogueRefuses(
                f"dataset {':'.join(did)} of task {dataset['jeditaskid']} is gone from Rucio"
            )
        seen = self._seen.get(dataset["datasetid"])
        fresh = seen is not None and time.monotonic() - seen.listed_at < RELIST_SECONDS
        if dataset["fed"] and fresh and seen is not None and seen.state == state:
            return 0
        # Listed after its state was read: a dataset found closed has all its files.
        files = [one for one in self._catalogue.content(did) if wanted(dataset["params"], one.name)]
        with self._database.transaction() as transaction:
            changed = _apply(transaction, dataset, state, files)
        self._seen[dataset["datasetid"]] = _Seen(state, time.monotonic())
        return changed


def _apply(transaction: Transaction, dataset: Row, state: DatasetState, files: list[CatalogueFile]) -> int:
    """Bring the task's files to what Rucio has; returns how many differed."""
    there = {file.name: file for file in files}
    known = transaction.rows(
        "SELECT fileid, lfn, attached FROM files WHERE datasetid = %s", [dataset["datasetid"]]
    )
    names = {row["lfn"] for row in known}
    limit = dataset["params"].get("nFiles")
    new = [file for name, file in there.items() if name not in names]
    if isinstance(limit, int) and limit > 0:
        new = new[: max(0, limit - len(names))]
    gone = [row["fileid"] for row in known if row["attached"] and row["lfn"] not in there]
    back = [row["fileid"] for row in known if not row["attached"] and row["lfn"] in there]
    _add(transaction, dataset, new)
    _detach_and_attach(transaction, dataset, gone, back)
    changed = len(new) + len(gone) + len(back)
    if changed or state.is_open != dataset["is_open"] or not dataset["fed"]:
        transaction.execute(
            "UPDATE datasets SET is_open = %s, fed = true WHERE datasetid = %s",
            [state.is_open, dataset["datasetid"]],
        )
        touch(transaction, [dataset["jeditaskid"]])
    return changed


def _add(transaction: Transaction, dataset: Row, files: list[CatalogueFile]) -> None:
    attempts = max_attempt(dataset["params"])
    transaction.many(
        "INSERT INTO files (jeditaskid, datasetid, lfn, scope, fsize, checksum, maxattempt)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        [
            (
                dataset["jeditaskid"],
                dataset["datasetid"],
                file.name,
                file.scope,
                file.size,
                f"ad:{file.adler32}" if file.adler32 else None,
                attempts,
            )
            for file in files
        ],
    )


def _detach_and_attach(transaction: Transaction, dataset: Row, gone: list[int], back: list[int]) -> None:
    if gone:
        transaction.execute("UPDATE files SET attached = false WHERE fileid = ANY(%s)", [gone])
    if back:
        transaction.execute(
            "UPDATE files SET attached = true,"
            " maxattempt = CASE WHEN status = 'failed' THEN attemptnr + %s ELSE maxattempt END,"
            " status = CASE WHEN status = 'failed' THEN 'ready' ELSE status END WHERE fileid = ANY(%s)",
            [max_attempt(dataset["params"]), back],
        )


def ready_tasks(database: Database) -> int:
    """defined -> ready, for tasks that have files to work on."""
    with database.transaction() as transaction:
        tasks = transaction.rows(
            "SELECT jeditaskid FROM tasks WHERE status = 'defined' AND command IS NULL AND EXISTS"
            " (SELECT 1 FROM files WHERE files.jeditaskid = tasks.jeditaskid AND files.status = 'ready' AND attached)"
        )
        return sum(move_task(transaction, task["jeditaskid"], ["defined"], "ready") for task in tasks)
