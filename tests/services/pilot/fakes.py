"""A PanDA and a catalogue in memory, with the faults that tests ask for; and jobs as PanDA describes them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from services.panda.pilot.catalogue import Replica
from services.panda.pilot.errors import Away, Code, JobFailed
from services.panda.pilot.job import File

SITE = "E1_BNL"
DATA, USER = "group.daq", "user.swf"
STF = "swf.100010.000001.stf"
SANDBOX = "jobO.1234.tar.gz"
ENDED = ("finished", "failed", "cancelled", "closed", "not found")


def described(panda_id: int = 7, command: str = "true", **changes: Any) -> dict[str, Any]:
    """A job as `acquire_jobs` gives it: one STF in, `out.txt` and a log out."""
    output, log = f"user.swf.5._{panda_id:06d}.out.txt", f"user.swf.log.5.{panda_id:06d}.log.tgz"
    parameters = (
        f'-j "" --sourceURL http://127.0.0.1:1 -r . -a {SANDBOX}'
        f""" -o "{{'out.txt': '{output}'}}" -i "['{STF}']" -p "{quote(command)}" """
    )
    return {
        "PandaID": panda_id,
        "attemptNr": 1,
        "taskID": 5,
        "jobPars": parameters,
        "inFiles": STF,
        "scopeIn": DATA,
        "outFiles": f"{output},{log}",
        "scopeOut": USER,
        "logFile": log,
        "scopeLog": USER,
        "coreCount": 1,
        "minRamCount": 1800,
        "maxDiskCount": 300,
        "maxWalltime": 86400,
        **changes,
    }


def packed(files: dict[str, bytes]) -> bytes:
    """A sandbox."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@dataclass
class FakePanda:
    """Job states as of PanDA, without an adder: what is reported stays `holding`."""

    queue: list[dict[str, Any]] = field(default_factory=list)
    states: dict[int, str] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    reports: list[dict[str, Any]] = field(default_factory=list)
    sandboxes: dict[str, bytes] = field(default_factory=lambda: {SANDBOX: packed({"hello.txt": b"hello"})})
    killed: set[int] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    before_update: Callable[[dict[str, Any]], None] | None = None
    after_update: Callable[[dict[str, Any]], None] | None = None

    def acquire(self, *, queue: str, node: str, label: str) -> dict[str, Any] | None:
        self._fault()
        if not self.queue:
            return None
        job = self.queue.pop(0)
        self.give_out(job)
        return job

    def give_out(self, job: dict[str, Any]) -> None:
        self.states[job["PandaID"]] = "sent"
        self.attempts[job["PandaID"]] = job["attemptNr"]

    def update(self, report: dict[str, Any]) -> bool:
        self._fault()
        if self.before_update is not None:
            self.before_update(report)
        job = report["job_id"]
        if self.states.get(job, "failed") in ENDED or self.attempts[job] != report["attempt_nr"]:
            return False
        self.reports.append(report)
        self.states[job] = "running" if report["job_status"] == "running" else "holding"
        if self.after_update is not None:
            self.after_update(report)
        return job not in self.killed

    def status(self, panda_id: int) -> tuple[str, int]:
        self._fault()
        return self.states.get(panda_id, "not found"), self.attempts.get(panda_id, 0)

    def sandbox(self, source_url: str, archive: str) -> bytes:
        self._fault()
        if archive not in self.sandboxes:
            raise JobFailed(f"the sandbox is not there: {source_url}/cache/{archive}", Code.SANDBOX)
        return self.sandboxes[archive]

    def _fault(self) -> None:
        if self.faults:
            raise Away(self.faults.pop(0))

    @property
    def last(self) -> dict[str, Any]:
        """The last report."""
        return self.reports[-1]


class FakeCatalogue:
    """The catalogue of one site, and its storage in a directory."""

    def __init__(self, storage: Path) -> None:
        self.rse = SITE
        self.storage = storage
        self.known: dict[str, Replica] = {}
        self.available: set[str] = set()
        self.faults: list[Exception] = []
        self.registrations = 0
        self.after_register: Callable[[], None] | None = None

    def add_input(self, content: bytes, name: str = STF) -> Path:
        path = self.path(File(DATA, name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.known[name] = Replica(path, len(content), f"{zlib.adler32(content):08x}")
        self.available.add(name)
        return path

    def replicas(self, files: Sequence[File]) -> dict[str, Replica]:
        self._fault()
        return {file.lfn: self.known[file.lfn] for file in files if file.lfn in self.available}

    def path(self, file: File) -> Path:
        digest = hashlib.md5(f"{file.scope}:{file.lfn}".encode()).hexdigest()
        return self.storage / file.scope.replace(".", "/") / digest[:2] / digest[2:4] / file.lfn

    def register(self, written: Sequence[tuple[File, Replica]]) -> None:
        self._fault()
        self.registrations += 1
        for file, replica in written:
            assert replica.path.stat().st_size == replica.size
            self.known.setdefault(file.lfn, replica)
            self.available.add(file.lfn)
        if self.after_register is not None:
            self.after_register()

    def withdraw(self, files: Sequence[File]) -> None:
        self._fault()
        self.available -= {file.lfn for file in files}

    def _fault(self) -> None:
        if self.faults:
            raise self.faults.pop(0)

    @property
    def outputs(self) -> set[str]:
        """Names of what pilots have written and what counts."""
        return {name for name in self.available if not name.endswith((".stf", ".log.tgz"))}

    def stored(self) -> set[str]:
        """Names of all files in the storage, but not of inputs and logs."""
        names = {path.name for path in self.storage.rglob("*") if path.is_file()}
        return {name for name in names if not name.endswith((".stf", ".log.tgz"))}


def output_report(report: dict[str, Any]) -> dict[str, Any]:
    """What the report says of outputs."""
    decoded: dict[str, Any] = json.loads(report["job_output_report"])
    return decoded
