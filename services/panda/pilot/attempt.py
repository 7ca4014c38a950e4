"""One job from its input to its stored outputs, and the report that PanDA gets of it."""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.panda.pilot import payload, staging
from services.panda.pilot.catalogue import Catalogue, Refused, Replica
from services.panda.pilot.directory import JobDirectory
from services.panda.pilot.errors import Away, Code, JobFailed, JobKilled, Stopped
from services.panda.pilot.job import Job
from services.panda.pilot.patience import INPUT_SECONDS, Patience, Stop
from services.panda.pilot.payload import Limits
from services.panda.pilot.server import PandaServer
from services.panda.pilot.transformation import parse

HEARTBEAT_SECONDS = 2.0
LONGEST_DIAG = 480

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What a pilot is told at its start.

    Attributes:
        queue: whose jobs it takes.
        node: how it calls itself to PanDA.
        label: the `prodSourceLabel` of the jobs it takes.
        parent: beneath it lie the directories of the queue's jobs.
        limits: of payloads, in place of the job's own; None leaves the job's.
    """

    queue: str
    node: str
    label: str
    parent: Path
    memory_mb: int | None = None
    disk_mb: int | None = None
    wall_seconds: int | None = None

    def limits(self, job: Job) -> Limits:
        """The limits of this job's payload."""
        return Limits(
            memory_mb=job.memory_mb if self.memory_mb is None else self.memory_mb,
            disk_mb=job.disk_mb if self.disk_mb is None else self.disk_mb,
            wall_seconds=job.wall_seconds if self.wall_seconds is None else self.wall_seconds,
        )


class Attempt:
    """One job from its input to its stored outputs."""

    def __init__(
        self,
        job: Job,
        place: JobDirectory,
        settings: Settings,
        server: PandaServer,
        catalogue: Catalogue,
        stop: Stop,
        patience: Patience,
    ) -> None:
        self._job = job
        self._place = place
        self._settings = settings
        self._server = server
        self._catalogue = catalogue
        self._stop = stop
        self._patience = patience
        self._begin = datetime.now(UTC)
        self._next_beat = 0.0
        self._seconds: dict[str, float] = {}

    def run(self) -> dict[str, Any]:
        """Run the job, which may fail in any way; its last report, as `update_job` takes it."""
        before = _child_seconds()
        try:
            results = self._process()
            cpu = round(_child_seconds() - before)
            report = self._report("finished", trans_exit_code=0, cpu_consumption_time=cpu)
            results += staging.pack_log(self._job, self._place, report)
            stored = self._timed("stageOut", lambda: self._store(results))
            return {**report, "job_metrics": self._metrics(), "job_output_report": stored}
        except JobFailed as error:
            failure = error
        except JobKilled:
            failure = JobFailed("killed, as PanDA asked", Code.KILLED)
        except Stopped:
            failure = JobFailed("the pilot was asked to end before the job had ended", Code.ENDED)
        except OSError as error:
            failure = JobFailed(f"the pilot cannot work in the job's directory: {error}", Code.SETUP)
        except Exception as error:
            log.exception("job %d", self._job.panda_id)
            failure = JobFailed(
                f"the pilot has an error of its own: {type(error).__name__}: {error}", Code.OWN
            )
        return self._failed(failure, round(_child_seconds() - before))

    def _process(self) -> list[staging.Result]:
        """Input, sandbox, payload: the results it has written."""
        job, work = self._job, self._place.work
        self._beat()
        what = parse(job.parameters)
        where = staging.inside(work, what.directory)
        if what.archive is not None:
            archive = what.archive
            content = self._await_input(lambda: self._server.sandbox(what.source_url, archive))
            staging.unpack(content, work)
        self._timed("stageIn", lambda: self._fetch(where))
        place = payload.Place(
            directory=where,
            whole=self._place.path,
            stdout=self._place.stdout,
            stderr=self._place.stderr,
            environment={
                "PandaID": str(job.panda_id),
                "PanDA_TaskID": str(job.task_id),
                "PanDA_AttemptNr": str(job.attempt),
                "OMP_NUM_THREADS": str(job.cores),
                "OPENBLAS_NUM_THREADS": str(job.cores),
            },
        )
        limits = self._settings.limits(job)
        self._timed("payload", lambda: payload.run(what.command, place, limits, self._beat))
        return staging.collect(what.outputs, job, where)

    def _fetch(self, where: Path) -> None:
        if not self._job.inputs:
            return
        try:
            replicas = self._await_input(lambda: self._catalogue.replicas(self._job.inputs))
        except Refused as error:
            raise JobFailed(f"input not found: {error}", Code.STAGE_IN) from error
        where.mkdir(parents=True, exist_ok=True)
        staging.fetch(replicas, self._job, where, self._catalogue.rse, self._beat)

    def _store(self, results: list[staging.Result]) -> str:
        """Store and register the results; the report of them."""
        if not results:
            return staging.output_report([], [], self._catalogue.rse)
        wait = self._patience.until_answered
        try:
            # Asked first, because the path of a file at this site follows from an answer of Rucio.
            wait(lambda: self._catalogue.path(results[0].file), self._beat)
            replicas = staging.store(results, self._catalogue.path, self._beat)
            return wait(lambda: self._registered(results, replicas), self._beat)
        except Refused as error:
            raise JobFailed(f"output not registered: {error}", Code.STAGE_OUT) from error

    def _registered(self, results: list[staging.Result], replicas: list[Replica]) -> str:
        self._catalogue.register(
            [(one.file, replica) for one, replica in zip(results, replicas, strict=True)]
        )
        return staging.output_report(results, replicas, self._catalogue.rse)

    def _failed(self, error: JobFailed, cpu: int) -> dict[str, Any]:
        """The report of a failure; with the log if that can be stored at once."""
        kind = "exe" if error.code is None else "pilot"
        report = self._report(
            "failed",
            trans_exit_code=error.status,
            cpu_consumption_time=cpu,
            job_metrics=self._metrics(),
            **{
                f"{kind}_error_code": int(error.code or error.status),
                f"{kind}_error_diag": error.diag[:LONGEST_DIAG],
            },
        )
        if "stageOut" in self._seconds:
            self._quietly(lambda: staging.discard(self._catalogue, self._job.files))
        elif self._job.log is not None and error.code != Code.KILLED:
            self._quietly(lambda: report.update(job_output_report=self._store_log(report)))
        return report

    def _store_log(self, report: dict[str, Any]) -> str:
        results = staging.pack_log(self._job, self._place, report)
        replicas = staging.store(results, self._catalogue.path, self._beat)
        return self._registered(results, replicas)

    def _quietly(self, call: Callable[[], None]) -> None:
        """What is good to have after a failure, but must not hide it or hold it up."""
        try:
            call()
        except (Away, Refused, JobFailed, JobKilled, Stopped, OSError) as error:
            log.warning("job %d: %s", self._job.panda_id, error)

    def _await_input(self, call: Callable[[], Any]) -> Any:
        return self._patience.until_answered(call, self._beat, INPUT_SECONDS)

    def _beat(self) -> None:
        """Tell PanDA every 2 s that the job lives. A PanDA that is away does not hold the job up."""
        self._stop.check()
        if time.monotonic() < self._next_beat:
            return
        self._next_beat = time.monotonic() + HEARTBEAT_SECONDS
        try:
            may_go_on = self._server.update(self._report("running"))
        except Away as error:
            self._patience.waits_for(str(error))
            return
        self._patience.waits_for(None)
        if not may_go_on:
            raise JobKilled

    def _report(self, status: str, **more: Any) -> dict[str, Any]:
        end = {} if status == "running" else {"end_time": _text(datetime.now(UTC))}
        begin = {"job_status": status, "start_time": _text(self._begin)}
        return {**header(self._job, self._settings), **begin, **end, **more}

    def _timed(self, name: str, call: Callable[[], Any]) -> Any:
        begin = time.monotonic()
        try:
            return call()
        finally:
            self._seconds[name] = time.monotonic() - begin

    def _metrics(self) -> str:
        return " ".join(f"{name}={seconds:.3f}" for name, seconds in self._seconds.items())


def header(job: Job, settings: Settings) -> dict[str, Any]:
    """What every report begins with."""
    return {
        "job_id": job.panda_id,
        "attempt_nr": job.attempt,
        "site_name": settings.queue,
        "node": settings.node,
    }


def reason_of(report: dict[str, Any]) -> str:
    """Why the job failed, in words; empty when it did not."""
    return str(report.get("pilot_error_diag") or report.get("exe_error_diag") or "")


def _child_seconds() -> float:
    """CPU time of all payloads so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
