"""What the tests of pilots with real engines share: datasets of STFs at a site, tasks on them, and what became of them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import urllib.request
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from rucio.client import Client

from apps.stf.container.writer import StfSpec, write_stf
from payloads.sandbox import copy_sandbox
from services.base import Engine
from services.panda.tokens import user_token
from services.rucio.settings import SCOPE
from services.storage import storage_root

SITE = "E1_BNL"
# Of a payload: so long that a busy machine keeps to it, or so short that a test waits for its end.
WALL_SECONDS, SHORT_WALL_SECONDS = 120, 3
SUMMARY = "python3 -m payloads.stf_summary %IN --root stf.root --summary stf.json"
BEGIN = datetime(2026, 11, 22, 12, tzinfo=UTC)
ENDED = ("done", "finished", "failed", "aborted", "broken", "exhausted")


@dataclass(frozen=True)
class Output:
    """A file of an output dataset."""

    scope: str
    name: str
    path: Path


class Processing:
    """A run's input dataset at one site, and a task on it."""

    def __init__(self, panda: Engine, rucio: Engine, directory: Path, site: str = SITE) -> None:
        self._panda, self._rucio, self._directory = panda, rucio, directory
        self._url = urlsplit(panda.environment()["PANDA_URL_SSL"])
        self.site = site
        self.run = int(uuid.uuid4().int % 10**8) + 10**8
        self.dataset = f"run.{self.run}.{site}"
        self.specs: dict[str, StfSpec] = {}
        self.client = _rucio_client(rucio)
        self.client.add_dataset(SCOPE, self.dataset)
        self.task = 0

    def add_stfs(self, count: int, size: int = 100_000, tf_count: int = 50) -> list[str]:
        """New STFs at the site, in the dataset; their names."""
        made = [self._stf(len(self.specs) + 1 + n, size, tf_count) for n in range(count)]
        self.client.add_replicas(self.site, [{**did, "scope": SCOPE} for did in made])
        self.client.attach_dids(SCOPE, self.dataset, [{"scope": SCOPE, "name": did["name"]} for did in made])
        return [did["name"] for did in made]

    def close(self) -> None:
        """No further STF."""
        self.client.set_status(SCOPE, self.dataset, open=False)

    def submit(self, command: str = SUMMARY, **parameters: Any) -> None:
        """A task on the dataset, made by PanDA's own client."""
        os.environ.update(self._panda.environment())
        from pandaclient import Client as PandaClient
        from pandaclient import PrunScript

        clean = self._directory / f"task-{uuid.uuid4().hex}"
        clean.mkdir(parents=True)
        copy_sandbox(clean)
        out = f"user.swf.swf.{self.run}.{self.site}.processed"
        arguments = [
            *("--exec", command, "--inDS", f"{SCOPE}:{self.dataset}", "--outDS", out, "--nFilesPerJob", "1"),
            *("--vo", "wlcg", "--site", self.site, "--prodSourceLabel", "test", "--workingGroup", "EIC"),
            *("--noBuild", "--expertOnly_skipScout", "--outputs", "stf.root,stf.json"),
        ]
        with contextlib.chdir(clean):
            params = PrunScript.main(True, arguments)
        params |= {"runUntilClosed": True, "processingType": "stfprocessing", **parameters}
        status, (code, message) = PandaClient.insertTaskParams(params)
        assert (status, code) == (0, 0), message
        self.task = int(re.search(r"jediTaskID=(\d+)", message)[1])  # type: ignore[index]

    def status(self) -> str | None:
        """The task's state."""
        answer = self.call(f"task/get_status?task_id={self.task}")
        return answer["data"] if answer["success"] else None

    def ended(self) -> bool:
        """Whether the task has come to an end."""
        return self.status() in ENDED

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs of the task as PanDA describes them."""
        jobs: list[dict[str, Any]] = self.call(f"task/get_job_descriptions?task_id={self.task}")["data"]
        return jobs

    def states(self) -> Counter[str]:
        """How many jobs are in which state."""
        return Counter(job["jobStatus"] for job in self.jobs())

    def outputs(self, kind: str) -> list[Output]:
        """The files of the output dataset `kind` (`stf.root`, `stf.json`), where they lie."""
        found = []
        for dataset in self.client.list_dids(
            "user.swf", {"name": f"*{self.run}*{kind}*"}, did_type="dataset"
        ):
            dids = list(self.client.list_content("user.swf", dataset))
            for replica in (
                self.client.list_replicas(
                    [{"scope": did["scope"], "name": did["name"]} for did in dids],
                    rse_expression=self.site,
                    schemes=["file"],
                    sort="random",
                )
                if dids
                else ()
            ):
                path = Path(urlsplit(replica["rses"][self.site][0]).path)
                found.append(Output(replica["scope"], replica["name"], path))
        return found

    def summaries(self) -> list[dict[str, Any]]:
        """The JSON results."""
        return [json.loads(output.path.read_text()) for output in self.outputs("stf.json")]

    def call(self, method: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One call of PanDA's REST interface as the user."""
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Origin": "EIC",
            "Authorization": f"Bearer {user_token(self._panda.directory).read_text()}",
        }
        data = None if body is None else json.dumps(body).encode()
        url = f"{self._url.scheme}://{self._url.netloc}/api/v1/{method}"
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def why(self) -> str:
        """What the task and its jobs say, for a failed test."""
        jobs = [
            {
                name: job[name]
                for name in (
                    "PandaID",
                    "jobStatus",
                    "attemptNr",
                    "pilotErrorDiag",
                    "exeErrorDiag",
                    "ddmErrorDiag",
                )
            }
            for job in self.jobs()
        ]
        return f"task {self.task} {self.status()}: {jobs}"

    def _stf(self, sequence: int, size: int, tf_count: int) -> dict[str, Any]:
        spec = StfSpec(
            run_number=self.run,
            sequence=sequence,
            tf_first=sequence * tf_count,
            tf_count=tf_count,
            state="run",
            substate="physics",
            begin=BEGIN,
            end=BEGIN + timedelta(seconds=1),
            size_bytes=size,
            seed=1,
        )
        name = f"swf.{self.run}.{sequence:06d}.stf"
        pfn = self.client.lfns2pfns(self.site, [f"{SCOPE}:{name}"], scheme="file")[f"{SCOPE}:{name}"]
        path = Path(urlsplit(pfn).path)
        assert path.is_relative_to(storage_root(self._rucio.home, self.site))
        path.parent.mkdir(parents=True, exist_ok=True)
        written = write_stf(path, spec, durable=False)
        self.specs[name] = spec
        return {"name": name, "bytes": written.size_bytes, "adler32": written.adler32}


def _rucio_client(rucio: Engine) -> Client:
    variables = rucio.environment()
    return Client(
        rucio_host=variables["RUCIO_HOST"],
        auth_host=variables["RUCIO_AUTH_HOST"],
        account=variables["RUCIO_ACCOUNT"],
        auth_type="userpass",
        creds={"username": variables["RUCIO_USERNAME"], "password": variables["RUCIO_PASSWORD"]},
        timeout=60,
    )


@pytest.fixture
def processing(panda: Engine, rucio: Engine, pilots: Engine, tmp_path: Path) -> Processing:
    """A new run at E1_BNL."""
    return Processing(panda, rucio, tmp_path)
