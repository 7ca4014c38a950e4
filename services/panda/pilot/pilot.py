"""One pilot: takes a job of its queue, brings it to its end, takes the next. One thread, one thing at a time."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Any

from services.panda.pilot import directory, payload, staging
from services.panda.pilot.attempt import Attempt, Settings, header, reason_of
from services.panda.pilot.catalogue import Catalogue, Refused
from services.panda.pilot.directory import JobDirectory
from services.panda.pilot.errors import Code, Stopped
from services.panda.pilot.job import Job
from services.panda.pilot.patience import Patience, Stop
from services.panda.pilot.processes import kill_marked
from services.panda.pilot.server import PandaServer

SHORTEST_IDLE, LONGEST_IDLE = 0.2, 1.0
# States of a job that has been reported, in which its outputs count or may come to count; PanDA forgets old jobs.
KEPT = {"holding", "transferring", "merging", "finished"}
FORGOTTEN = "not found"

log = logging.getLogger(__name__)


class Pilot:
    """One pilot.

    Args:
        say: told what it does: the job it has, or None, and why it waits, or None.
    """

    def __init__(
        self,
        settings: Settings,
        server: PandaServer,
        catalogue: Catalogue,
        stop: Stop,
        say: Callable[[int | None, str | None], None],
    ) -> None:
        self._settings = settings
        self._server = server
        self._catalogue = catalogue
        self._stop = stop
        self._say = say
        self._job: int | None = None
        self._patience = Patience(stop, lambda reason: say(self._job, reason))

    def run(self) -> None:
        """Take jobs until asked to stop; first bring to an end what a dead pilot of this queue has left."""
        self._say(None, None)
        try:
            for place in directory.leftovers(self._settings.parent):
                self._recover(place)
            idle = SHORTEST_IDLE
            while not self._stop.asked:
                described = self._patience.until_answered(self._acquire)
                if described is not None:
                    self.do(described)
                    idle = SHORTEST_IDLE
                else:
                    self._stop.wait(idle * random.uniform(0.7, 1.0))  # noqa: S311 - no secret
                    idle = min(1.5 * idle, LONGEST_IDLE)
        except Stopped:
            log.info("ends without an answer; what it has in hand is left to the next pilot")

    def do(self, described: dict[str, Any]) -> None:
        """Bring one job to its end and report it.

        Raises:
            Stopped: the pilot is to end before PanDA has taken the report; the job's directory stays.
        """
        job = Job.of(described)
        self._job = job.panda_id
        self._say(job.panda_id, None)
        place = directory.create(self._settings.parent, str(job.panda_id), described)
        try:
            self._do(job, place)
        except Stopped:
            place.release()
            raise
        place.remove()
        self._job = None
        self._say(None, None)

    def _do(self, job: Job, place: JobDirectory) -> None:
        attempt = Attempt(
            job, place, self._settings, self._server, self._catalogue, self._stop, self._patience
        )
        report = attempt.run()
        place.keep_final(report)
        log.info("job %d: %s", job.panda_id, " ".join([report["job_status"], reason_of(report)]).strip())
        self._deliver(job, report)

    def _deliver(self, job: Job, report: dict[str, Any]) -> None:
        """Have PanDA take the last report. If the job was given up meanwhile, take back what it has stored."""
        alive = self._patience.until_answered(lambda: self._server.update(report))
        # A job that was reported before is no more alive than one that was given up, but its outputs count.
        if not alive and not self._is_reported(job):
            log.info("job %d: was given up meanwhile, its outputs are withdrawn", job.panda_id)
            self._discard(job)

    def _is_reported(self, job: Job) -> bool:
        """Whether PanDA has this job's last report, or knows nothing of the job any more."""
        status, attempt = self._patience.until_answered(lambda: self._server.status(job.panda_id))
        return status == FORGOTTEN or (status in KEPT and attempt == job.attempt)

    def _recover(self, place: JobDirectory) -> None:
        """End a job whose pilot has died, and remove its directory."""
        try:
            kill_marked(payload.mark_of(place.path))
            described = place.job
            if described is not None:
                self._end(Job.of(described), place.final)
        except Stopped:
            place.release()
            raise
        except Exception:
            # Without its last report PanDA gives the job up by itself; a slot must not be lost to it.
            log.exception("what is in %s is given up", place.path)
        place.remove()

    def _end(self, job: Job, final: dict[str, Any] | None) -> None:
        """Send the last report of a dead pilot, or say that the job is lost so that it is tried again soon."""
        log.info("job %d: left by a pilot that died", job.panda_id)
        if final is not None:
            self._deliver(job, final)
            return
        if self._is_reported(job):
            return
        lost = {"pilot_error_code": int(Code.LOST), "pilot_error_diag": "the pilot was killed"}
        report = {**header(job, self._settings), "job_status": "failed", **lost}
        self._patience.until_answered(lambda: self._server.update(report))
        self._discard(job)

    def _discard(self, job: Job) -> None:
        try:
            self._patience.until_answered(lambda: staging.discard(self._catalogue, job.files))
        except (Refused, OSError) as error:
            log.warning("job %d: its outputs stay, though they do not count: %s", job.panda_id, error)

    def _acquire(self) -> dict[str, Any] | None:
        if self._stop.asked:
            return None
        settings = self._settings
        return self._server.acquire(queue=settings.queue, node=settings.node, label=settings.label)
