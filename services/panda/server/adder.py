"""What pilots have finished is looked at, and only then counts: holding -> finished or failed.

An output counts when it is in its task's output dataset. A job that holds cannot be killed, so that what is attached to
the dataset belongs to the job that finishes the file, and to no other.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from psycopg.types.json import Jsonb

from services.panda.queues import QUEUES
from services.panda.server.catalogue import Catalogue, CatalogueFile, CatalogueRefuses, Did
from services.panda.server.changes import release_files, touch
from services.panda.server.database import Database, Row, Transaction

JOBS_AT_A_TIME = 100
ADDER_ERROR = 200


class Adder:
    """Checks the outputs of holding jobs in Rucio and attaches them."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = catalogue

    def add(self) -> int:
        """Settle the oldest holding jobs; returns how many.

        Raises:
            CatalogueAway: they stay holding.
        """
        with self._database.transaction() as transaction:
            jobs = transaction.rows(
                "SELECT * FROM jobs WHERE status = 'holding' ORDER BY pandaid LIMIT %s", [JOBS_AT_A_TIME]
            )
            files = transaction.rows(
                "SELECT jobfiles.*, datasets.name AS dataset, datasets.scope AS dataset_scope"
                " FROM jobfiles JOIN datasets USING (datasetid) WHERE pandaid = ANY(%s) AND jobfiles.fileid IS NULL"
                " ORDER BY rowid",
                [[job["pandaid"] for job in jobs]],
            )
        outputs: dict[int, list[Row]] = defaultdict(list)
        for file in files:
            outputs[file["pandaid"]].append(file)
        # What failed is settled first: it needs no Rucio.
        bad = [job for job in jobs if job["outcome"] == "failed"]
        with self._database.transaction() as transaction:
            for job in bad:
                _fail(transaction, job, {})
        good = [job for job in jobs if job["outcome"] != "failed"]
        for site in sorted({job["site"] for job in good}):
            self._settle([job for job in good if job["site"] == site], outputs, site)
        return len(jobs)

    def _settle(self, jobs: list[Row], outputs: dict[int, list[Row]], site: str) -> None:
        """Jobs of one queue that their pilots say have finished."""
        rse = QUEUES[site].rse
        reported = {job["pandaid"]: _report(job["report"]) for job in jobs}
        expected = {
            job["pandaid"]: [
                file
                for file in outputs[job["pandaid"]]
                if file["type"] == "output" or file["lfn"] in reported[job["pandaid"]]
            ]
            for job in jobs
        }
        dids = sorted({(file["scope"], file["lfn"]) for files in expected.values() for file in files})
        there = self._catalogue.available(dids, rse) if dids else {}
        wrong = {
            job["pandaid"]: _wrong(expected[job["pandaid"]], reported[job["pandaid"]], there, rse)
            for job in jobs
        }
        right = [job for job in jobs if wrong[job["pandaid"]] is None]
        refused = self._attach((file for job in right for file in expected[job["pandaid"]]), rse)
        with self._database.transaction() as transaction:
            for job in jobs:
                reason = wrong[job["pandaid"]] or _first(refused, expected[job["pandaid"]])
                if reason:
                    _fail(transaction, job, {"ddmErrorCode": ADDER_ERROR, "ddmErrorDiag": reason[:500]})
                else:
                    _finish(transaction, job, expected[job["pandaid"]], there)

    def _attach(self, files: Iterable[Row], rse: str) -> dict[Did, str]:
        """Put files into their datasets; returns those that Rucio refuses, with its reason."""
        datasets: dict[Did, list[Did]] = defaultdict(list)
        for file in files:
            datasets[file["dataset_scope"], file["dataset"]].append((file["scope"], file["lfn"]))
        refused: dict[Did, str] = {}
        for dataset, dids in datasets.items():
            try:
                self._catalogue.attach(dataset, rse, dids)
            except CatalogueRefuses as error:
                refused[dataset] = f"outputs could not be put into {':'.join(dataset)}: {error}"
        return refused


def _first(refused: dict[Did, str], files: list[Row]) -> str | None:
    """Why one of these files could not be put into its dataset."""
    return next((refused[did] for f in files if (did := (f["dataset_scope"], f["dataset"])) in refused), None)


def _report(text: str | None) -> dict[str, dict[str, Any]]:
    """The pilot's report, name to what it says of the file; empty when it cannot be read."""
    try:
        report = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(report, dict):
        return {}
    return {name: said for name, said in report.items() if isinstance(said, dict)}


def _wrong(
    files: list[Row], report: dict[str, dict[str, Any]], there: dict[Did, CatalogueFile], rse: str
) -> str | None:
    """What is wrong with a job's outputs, in words for a person; None when nothing is."""
    for file in files:
        name, said = file["lfn"], report.get(file["lfn"])
        if said is None:
            return f"output {name} is not in the job's report"
        found = there.get((file["scope"], name))
        if found is None:
            return f"output {file['scope']}:{name} has no available replica at {rse} in Rucio"
        if str(said.get("fsize")) != str(found.size):
            return f"output {name}: the pilot reports {said.get('fsize')} bytes, Rucio has {found.size}"
        if said.get("adler32") != found.adler32:
            return (
                f"output {name}: the pilot reports adler32 {said.get('adler32')}, Rucio has {found.adler32}"
            )
    return None


def _finish(transaction: Transaction, job: Row, outputs: list[Row], there: dict[Did, CatalogueFile]) -> None:
    """The job's end in the tables, if it still holds."""
    total = sum(there[file["scope"], file["lfn"]].size for file in outputs if file["type"] == "output")
    count = sum(file["type"] == "output" for file in outputs)
    if not _end(transaction, job, "finished", {"nOutputDataFiles": count, "outputFileBytes": total}):
        return
    for file in outputs:
        found = there[file["scope"], file["lfn"]]
        transaction.execute(
            "UPDATE jobfiles SET status = 'ready', fsize = %s, checksum = %s WHERE rowid = %s",
            [found.size, f"ad:{found.adler32}", file["rowid"]],
        )
    transaction.execute(
        "UPDATE jobfiles SET status = 'finished' WHERE pandaid = %s AND fileid IS NOT NULL", [job["pandaid"]]
    )
    transaction.execute(
        "UPDATE files SET status = 'finished' WHERE pandaid = %s AND jeditaskid = %s AND status = 'running'",
        [job["pandaid"], job["jeditaskid"]],
    )
    touch(transaction, [job["jeditaskid"]])


def _fail(transaction: Transaction, job: Row, errors: dict[str, Any]) -> None:
    """A job that its pilot, or the look at its outputs, found to have failed; cancelled if it was told to stop."""
    status = "cancelled" if job["command"] == "tobekilled" and not errors else "failed"
    if _end(transaction, job, status, errors):
        release_files(transaction, [job["pandaid"]], status)
        touch(transaction, [job["jeditaskid"]])


def _end(transaction: Transaction, job: Row, status: str, attributes: dict[str, Any]) -> bool:
    ended = transaction.execute(
        "UPDATE jobs SET status = %s, attributes = attributes || %s, command = NULL, report = NULL,"
        " modificationtime = utc(), statechangetime = utc(), endtime = COALESCE(endtime, utc())"
        " WHERE pandaid = %s AND status = 'holding'",
        [status, Jsonb(attributes), job["pandaid"]],
    )
    return ended == 1
