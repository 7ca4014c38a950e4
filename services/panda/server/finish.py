"""Commands carried out, and tasks brought to their end."""

from __future__ import annotations

from psycopg.types.json import Jsonb

from services.panda.server.catalogue import Catalogue
from services.panda.server.changes import kill_jobs, move_task, open_jobs
from services.panda.server.database import Database, Row, Transaction
from services.panda.server.states import COMMANDS, JOB_QUEUED, TASK_FED, legal, refusal, verdict
from services.panda.server.templates import max_attempt

# SQL: the task has files to work on or jobs under way.
_UNFINISHED = (
    "EXISTS (SELECT 1 FROM files WHERE files.jeditaskid = tasks.jeditaskid AND files.status = 'ready' AND attached)"
    " OR EXISTS (SELECT 1 FROM jobs WHERE jobs.jeditaskid = tasks.jeditaskid"
    "            AND jobs.status NOT IN ('finished', 'failed', 'cancelled', 'closed'))"
)
# SQL: its dataset has not been read, or may still grow.
_FOLLOWED = (
    "EXISTS (SELECT 1 FROM datasets WHERE datasets.jeditaskid = tasks.jeditaskid AND type = 'input'"
    "        AND (NOT fed OR (is_open AND (tasks.params->>'runUntilClosed')::boolean IS TRUE)))"
)


def obey(database: Database) -> int:
    """Take up the commands that are registered; returns how many. One that is too early for its task stays."""
    with database.transaction() as transaction:
        tasks = transaction.rows("SELECT jeditaskid FROM tasks WHERE command IS NOT NULL ORDER BY jeditaskid")
    obeyed = 0
    for task in tasks:
        with database.transaction() as transaction:
            obeyed += _obey(transaction, task["jeditaskid"])
    return obeyed


def _obey(transaction: Transaction, task_id: int) -> bool:
    task = transaction.one("SELECT * FROM tasks WHERE jeditaskid = %s FOR UPDATE", [task_id])
    command, before, given = task["command"], task["status"], task["command_params"] or {}
    if command is None:
        return False
    if refusal(command, before, production=True) is None:
        after = (task["oldstatus"] or "defined") if command == "resume" else COMMANDS[command][0]
        if not legal(before, after):
            return False
        changes = given.get("new_parameters") or {}
        # The command's parameters are kept for as long as it takes.
        transaction.execute(
            "UPDATE tasks SET command = NULL, oldstatus = status, params = params || %s,"
            " site = COALESCE(%s, site) WHERE jeditaskid = %s",
            [Jsonb(changes), changes.get("site"), task_id],
        )
        return move_task(transaction, task_id, [before], after)
    transaction.execute(
        "UPDATE tasks SET command = NULL, command_params = NULL WHERE jeditaskid = %s", [task_id]
    )
    return True


def carry_out(database: Database) -> int:
    """Do what the commands ask: kill jobs, give files back; returns how many tasks moved."""
    with database.transaction() as transaction:
        tasks = transaction.rows(
            "SELECT * FROM tasks WHERE status IN ('aborting', 'finishing', 'toretry', 'toincexec')"
            " ORDER BY jeditaskid"
        )
    moved = 0
    for task in tasks:
        with database.transaction() as transaction:
            if task["status"] in ("aborting", "finishing"):
                moved += _wind_up(transaction, task)
            else:
                moved += _start_again(transaction, task)
    return moved


def _wind_up(transaction: Transaction, task: Row) -> bool:
    """Kill the task's jobs, or with `soft` only those that no pilot has; when none is left, go on."""
    task_id, given = task["jeditaskid"], task["command_params"] or {}
    jobs = open_jobs(transaction, task_id)
    if given.get("soft") is True:
        queued = transaction.rows(
            "SELECT pandaid FROM jobs WHERE pandaid = ANY(%s) AND status = ANY(%s)", [jobs, list(JOB_QUEUED)]
        )
        kill_jobs(transaction, [job["pandaid"] for job in queued], given.get("by", ""))
    else:
        kill_jobs(transaction, jobs, given.get("by", ""))
    if open_jobs(transaction, task_id):
        return False
    after = "toabort" if task["status"] == "aborting" else "passed"
    return move_task(transaction, task_id, [task["status"]], after)


def _start_again(transaction: Transaction, task: Row) -> bool:
    """Give failed files attempts, and have the dataset looked at anew: it may have grown, or be open again."""
    task_id = task["jeditaskid"]
    transaction.execute(
        "UPDATE datasets SET is_open = true, fed = false WHERE jeditaskid = %s AND type = 'input'", [task_id]
    )
    transaction.execute(
        "UPDATE files SET status = 'ready', maxattempt = attemptnr + %s"
        " WHERE jeditaskid = %s AND status = 'failed'",
        [max_attempt(task["params"]), task_id],
    )
    transaction.execute(
        "UPDATE tasks SET attemptnr = attemptnr + 1, endtime = NULL WHERE jeditaskid = %s", [task_id]
    )
    after = "ready" if task["status"] == "toretry" else "rerefine"
    return move_task(transaction, task_id, [task["status"]], after)


def settle(database: Database) -> int:
    """Tasks that wait for their dataset go back to defined; those that have all done are prepared to end."""
    with database.transaction() as transaction:
        idle = transaction.rows(
            f"SELECT jeditaskid FROM tasks WHERE status = ANY(%s) AND command IS NULL AND NOT ({_UNFINISHED})"  # noqa: S608 - constants of this module
            " ORDER BY jeditaskid FOR UPDATE SKIP LOCKED",
            [list(TASK_FED)],
        )
        # Asked again now that they are locked: a retry may have come in between.
        settled = transaction.rows(
            f"SELECT jeditaskid, status, {_FOLLOWED} AS followed FROM tasks"  # noqa: S608 - constants of this module
            f" WHERE jeditaskid = ANY(%s) AND NOT ({_UNFINISHED})",
            [[task["jeditaskid"] for task in idle]],
        )
        moved = 0
        for task in settled:
            after = "defined" if task["followed"] else "prepared"
            if after != task["status"]:
                moved += move_task(transaction, task["jeditaskid"], [task["status"]], after)
        moved += transaction.execute(
            "UPDATE tasks SET status = 'prepared', statechangetime = utc(), modificationtime = utc()"
            " WHERE status = 'passed'"
        )
        moved += transaction.execute(
            "UPDATE tasks SET status = 'aborted', statechangetime = utc(), modificationtime = utc(),"
            " endtime = utc(), command_params = NULL WHERE status = 'toabort'"
        )
    return moved


def conclude(database: Database, catalogue: Catalogue) -> int:
    """prepared -> done, finished or failed, once the output datasets are closed.

    Raises:
        CatalogueAway: the task stays prepared.
    """
    with database.transaction() as transaction:
        tasks = transaction.rows("SELECT jeditaskid FROM tasks WHERE status = 'prepared' ORDER BY jeditaskid")
    for task in tasks:
        _conclude(database, catalogue, task["jeditaskid"])
    return len(tasks)


def _conclude(database: Database, catalogue: Catalogue, task_id: int) -> None:
    with database.transaction() as transaction:
        outputs = transaction.rows(
            "SELECT DISTINCT scope, name FROM datasets WHERE jeditaskid = %s AND type IN ('output', 'log')",
            [task_id],
        )
        counted = transaction.one(
            "SELECT count(*) FILTER (WHERE attached OR status = 'finished') AS attached,"
            " count(*) FILTER (WHERE status = 'finished') AS finished FROM files WHERE jeditaskid = %s",
            [task_id],
        )
    for one in outputs:
        catalogue.close((one["scope"], one["name"]))
    after = verdict(counted["attached"], counted["finished"])
    reason = None if counted["attached"] else "no input files"
    with database.transaction() as transaction:
        if move_task(transaction, task_id, ["prepared"], after):
            transaction.execute(
                "UPDATE tasks SET endtime = utc(), errordialog = %s, command_params = NULL WHERE jeditaskid = %s",
                [reason, task_id],
            )
