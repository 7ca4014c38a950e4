"""Jobs whose pilot has fallen silent."""

from __future__ import annotations

import time

from services.panda.server.changes import end_jobs
from services.panda.server.database import Database

LOST = 100
# If this step has not run for so long, pilots may have spoken in vain: they get their whole time again.
GAP_SECONDS = 3.0


class Watchdog:
    """Ends jobs that have had no heartbeat for `heartbeat` seconds in which the server could have heard it."""

    def __init__(self, database: Database, heartbeat: float) -> None:
        self._database = database
        self._heartbeat = heartbeat
        self._listening_since = time.monotonic()
        self._last = time.monotonic()

    def watch(self) -> int:
        """End what is lost; returns how many jobs."""
        now = time.monotonic()
        if now - self._last > GAP_SECONDS:
            self._listening_since = now
        if now - self._listening_since < self._heartbeat:
            self._ask()
            return 0
        return self._end_lost()

    def _ask(self) -> None:
        with self._database.transaction() as transaction:
            transaction.execute("SELECT 1")
        self._last = time.monotonic()

    def _end_lost(self) -> int:
        ended = 0
        with self._database.transaction() as transaction:
            lost = transaction.rows(
                # The states are written out, so that the index of such jobs is used in every plan.
                "SELECT pandaid, command, heartbeat FROM jobs"
                " WHERE status IN ('sent', 'starting', 'running', 'transferring')"
                " AND heartbeat < utc() - make_interval(secs => %s) ORDER BY pandaid FOR UPDATE SKIP LOCKED",
                [self._heartbeat],
            )
            for job in lost:
                if job["command"] == "tobekilled":
                    ended += end_jobs(transaction, [job["pandaid"]], "cancelled", {})
                    continue
                said = f"lost heartbeat : {job['heartbeat']:%Y-%m-%d %H:%M:%S}"
                errors = {"jobDispatcherErrorCode": LOST, "jobDispatcherErrorDiag": said}
                ended += end_jobs(transaction, [job["pandaid"]], "failed", errors)
        self._last = time.monotonic()
        return ended
