"""What the tests of PanDA share: the interface without a client, a run's dataset, and pilots of few words."""

from __future__ import annotations

import json
import os
import time
import uuid
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from services.base import Engine
from services.panda.settings import PRODUCTION, VO
from services.panda.tokens import pilot_token, user_token
from services.rucio.settings import SCOPE
from services.storage import E1

DEADLINE_SECONDS = 180.0
NICKNAME_SCOPE = "user.swf"


def poll(reached: Callable[[], Any], what: Callable[[], object] = str) -> Any:
    """Until `reached()` is true, then that value; `what()` tells the state when the deadline has passed."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (value := reached()):
        assert time.monotonic() < deadline, f"not reached in {DEADLINE_SECONDS:.0f} s: {what()}"
        time.sleep(0.02)
    return value


class Api:
    """REST v1 with one token, as a client that asks for JSON; replies are decoded."""

    def __init__(self, base: str, token: str | None, origin: str = VO) -> None:
        headers = {"Accept": "application/json", "Content-Type": "application/json", "Origin": origin}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.base = base
        # Nothing is left open that a test would have to close.
        limits = httpx.Limits(max_keepalive_connections=0)
        self.http = httpx.Client(base_url=f"{base}/api/v1/", headers=headers, timeout=60, limits=limits)

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """The reply to a GET."""
        return self._decoded(self.http.get(path, params=query))

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """The reply to a POST."""
        return self._decoded(self.http.post(path, content=json.dumps(body)))

    def status(self, task_id: int) -> str | None:
        """A task's state."""
        data: str | None = self.get("task/get_status", task_id=task_id)["data"]
        return data

    def jobs(self, task_id: int) -> list[dict[str, Any]]:
        """Descriptions of a task's jobs, by PandaID."""
        data: list[dict[str, Any]] = self.get("task/get_job_descriptions", task_id=task_id)["data"]
        return data

    def files(self, task_id: int) -> dict[str, str]:
        """Input file to its state."""
        reply = self.get("task/get_datasets_and_files", task_id=task_id)
        return {file["lfn"]: file["status"] for one in reply["data"] or [] for file in one["files"]}

    def info(self, task_id: int) -> dict[str, Any]:
        """Everything about a task."""
        data: dict[str, Any] = self.get("task/get_detailed_info", task_id=task_id)["data"]
        return data

    def wait(self, task_id: int, *states: str) -> str:
        """Until the task is in one of these states."""
        return str(poll(lambda: (now := self.status(task_id)) in states and now, lambda: self.info(task_id)))

    @staticmethod
    def _decoded(response: httpx.Response) -> dict[str, Any]:
        assert response.status_code == 200, (response.status_code, response.text)
        decoded: dict[str, Any] = response.json()
        return decoded


def user(engine: Engine) -> Api:
    """The interface as whoever submits tasks."""
    return Api(_base(engine), user_token(engine.directory).read_text())


def pilot(engine: Engine) -> Api:
    """The interface as a pilot."""
    return Api(_base(engine), pilot_token(engine.directory).read_text(), PRODUCTION)


def _base(engine: Engine) -> str:
    return engine.environment()["PANDA_URL"].removesuffix("/server/panda")


def adler32(content: bytes) -> str:
    """As Rucio writes it."""
    return f"{zlib.adler32(content):08x}"


@dataclass
class Run:
    """One run's dataset for one site, through Rucio's real client; its files are in the catalogue only."""

    rucio: Any
    site: str = "E1_BNL"
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:10])

    def __post_init__(self) -> None:
        self.dataset = f"run.{self.name}.{self.site}"
        self.rucio.add_dataset(SCOPE, self.dataset)

    def files(self, count: int, first: int = 1) -> list[str]:
        """Names of the run's files."""
        return [f"swf.{self.name}.{number:06d}.stf" for number in range(first, first + count)]

    def add(self, names: list[str], *, available: bool = True) -> list[str]:
        """Register files, at the site or only at the other one, and attach them."""
        other = next(site for site in E1 if site != self.site)
        self.register(names, self.site if available else other)
        self.attach(names)
        return names

    def register(self, names: list[str], rse: str) -> None:
        """Files with a replica at `rse`."""
        files = [
            {"scope": SCOPE, "name": one, "bytes": len(one), "adler32": adler32(one.encode())}
            for one in names
        ]
        self.rucio.add_replicas(rse, files)

    def attach(self, names: list[str]) -> None:
        """Into the dataset."""
        self.rucio.attach_dids(SCOPE, self.dataset, [{"scope": SCOPE, "name": one} for one in names])

    def detach(self, names: list[str]) -> None:
        """Out of the dataset."""
        self.rucio.detach_dids(SCOPE, self.dataset, [{"scope": SCOPE, "name": one} for one in names])

    def close(self) -> None:
        """No more files."""
        self.rucio.set_status(SCOPE, self.dataset, open=False)

    def reopen(self) -> None:
        """More files after all."""
        self.rucio.set_status(SCOPE, self.dataset, open=True)

    @property
    def output(self) -> str:
        """Name of the dataset of the task's outputs."""
        return f"user.swf.swf.{self.name}.{self.site}.processed_stf.json"

    def outputs(self) -> list[str]:
        """What is in it."""
        from rucio.common.exception import DataIdentifierNotFound

        try:
            return sorted(one["name"] for one in self.rucio.list_content(NICKNAME_SCOPE, self.output))
        except DataIdentifierNotFound:
            return []

    def parameters(self, **changes: Any) -> dict[str, Any]:
        """A task on this dataset, one job per file, as prun would have it submitted."""
        name = f"user.swf.swf.{self.name}.{self.site}.processed"
        template = "user.swf.$JEDITASKID._${SN/P}.stf.json"
        return {
            "taskName": f"{name}/",
            "uniqueTaskName": True,
            "vo": "wlcg",
            "prodSourceLabel": "user",
            "processingType": "stfprocessing",
            "site": self.site,
            "workingGroup": "EIC",
            "nFilesPerJob": 1,
            "runUntilClosed": True,
            "sourceURL": "http://127.0.0.1:25080",
            "cliParams": "prun",
            "log": {
                "dataset": f"{name}.log/",
                "container": f"{name}.log/",
                "type": "template",
                "param_type": "log",
                "value": f"{name}.log.$JEDITASKID.${{SN}}.log.tgz",
            },
            "jobParameters": [
                {"type": "constant", "value": '-j "" --sourceURL ${SURL}'},
                {
                    "type": "template",
                    "value": template,
                    "param_type": "output",
                    "dataset": f"{self.output}/",
                    "container": f"{self.output}/",
                    "hidden": True,
                },
                {"type": "constant", "value": f"-o \"{{'stf.json': '{template}'}}\""},
                {
                    "type": "template",
                    "param_type": "input",
                    "value": '-i "${IN/T}"',
                    "dataset": f"{SCOPE}:{self.dataset}",
                    "expand": True,
                },
            ],
            **changes,
        }


class Pilot:
    """A pilot that runs nothing: it writes outputs into the catalogue and says what it is told to say.

    Args:
        task_id: the only task whose jobs it takes; others' tests have jobs in the same queue.
    """

    def __init__(self, api: Api, rucio: Any, task_id: int, queue: str = "E1_BNL") -> None:
        self.api, self.rucio, self.task_id, self.queue = api, rucio, task_id, queue

    def take(self, count: int = 1, **given: Any) -> list[dict[str, Any]]:
        """Up to `count` jobs; none when there is none."""
        reply = self.api.post(
            "pilot/acquire_jobs", site_name=self.queue, n_jobs=count, task_id=self.task_id, **given
        )
        return list((reply["data"] or {"jobs": []})["jobs"])

    def wait_for_job(self, **given: Any) -> dict[str, Any]:
        """The next job, as soon as there is one."""
        jobs = poll(lambda: self.take(**given))
        return dict(jobs[0])

    def say(self, job: dict[str, Any], status: str, **more: Any) -> str:
        """Report; returns the server's command."""
        given = {"job_id": job["PandaID"], "attempt_nr": job["attemptNr"], "job_status": status, **more}
        reply = self.api.post("pilot/update_job", site_name=self.queue, **given)
        assert reply["success"], reply
        return str(reply["data"]["command"])

    def write(self, job: dict[str, Any], content: bytes = b"{}") -> dict[str, dict[str, Any]]:
        """Register the job's outputs at the queue's storage; returns the report on them."""
        names = [name for name in job["outFiles"].split(",") if name != job["logFile"]]
        files = [
            {
                "scope": job["scopeOut"].split(",")[0],
                "name": name,
                "bytes": len(content),
                "adler32": adler32(content),
            }
            for name in names
        ]
        self.rucio.add_replicas(self.queue, files)
        return {one["name"]: {"fsize": one["bytes"], "adler32": one["adler32"], "guid": ""} for one in files}

    def finish(self, job: dict[str, Any]) -> str:
        """Do all that a good pilot does."""
        self.say(job, "starting")
        self.say(job, "running")
        report = self.write(job)
        return self.say(job, "finished", job_output_report=json.dumps(report), trans_exit_code=0)


def client_of_rucio(engine: Engine) -> Any:
    """Rucio's real client; the scope of outputs is made, as the pilots' site would have it."""
    environment = engine.environment()
    # Rucio's client looks for its configuration when it is imported.
    os.environ["RUCIO_CONFIG"] = environment["RUCIO_CONFIG"]
    from rucio.client import Client
    from rucio.common.exception import Duplicate

    client = Client(
        rucio_host=environment["RUCIO_HOST"],
        auth_host=environment["RUCIO_AUTH_HOST"],
        account=environment["RUCIO_ACCOUNT"],
        auth_type=environment["RUCIO_AUTH_TYPE"],
        creds={"username": environment["RUCIO_USERNAME"], "password": environment["RUCIO_PASSWORD"]},
    )
    with suppress(Duplicate):
        client.add_scope(environment["RUCIO_ACCOUNT"], NICKNAME_SCOPE)
    return client
