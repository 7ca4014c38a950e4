"""What the tests of Rucio share: a client, files in the exit buffer, and waiting for a rule."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.base import Engine
from services.rucio.settings import SCOPE
from services.storage import E0, E1, storage_root

DEADLINE_SECONDS = 180.0


@dataclass(frozen=True)
class StfFile:
    """A file in the exit buffer as it was when its checksum was taken."""

    name: str
    path: Path
    content: bytes

    def did(self) -> dict[str, Any]:
        """As Rucio wants it registered."""
        return {
            "scope": SCOPE,
            "name": self.name,
            "bytes": len(self.content),
            "adler32": f"{zlib.adler32(self.content):08x}",
            "pfn": f"file://localhost:0{self.path}",
        }


def poll(reached: Callable[[], object], what: Callable[[], object] = str) -> None:
    """Until `reached()` is true; `what()` tells the state when the deadline has passed."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not reached():
        assert time.monotonic() < deadline, f"not reached in {DEADLINE_SECONDS:.0f} s: {what()}"
        time.sleep(0.1)


class Catalogue:
    """One run's dataset with a rule for each E1 site, through the real client."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.run = f"run{uuid.uuid4().hex[:8]}"
        self.client = self._connect()
        self.client.add_dataset(SCOPE, self.run)
        self.rules = {rse: self._rule(rse) for rse in E1}

    def write(self, count: int, size: int = 10_000) -> list[StfFile]:
        """New files in the exit buffer."""
        folder = storage_root(self._engine.home, E0) / self.run
        folder.mkdir(parents=True, exist_ok=True)
        files = [
            StfFile(f"{self.run}.stf{n:06d}", folder / f"stf{n:06d}", os.urandom(size)) for n in range(count)
        ]
        for file in files:
            file.path.write_bytes(file.content)
        return files

    def register(self, files: list[StfFile]) -> None:
        """Tell Rucio of them and attach them to the run's dataset."""
        dids = [file.did() for file in files]
        dataset = {"scope": SCOPE, "name": self.run, "rse": E0, "dids": dids}
        self.client.add_files_to_datasets([dataset], ignore_duplicate=True)

    def copy_at(self, rse: str, file: StfFile) -> Path:
        """Where Rucio's hashed layout puts the file at `rse`."""
        digest = hashlib.md5(f"{SCOPE}:{file.name}".encode()).hexdigest()
        folder = SCOPE.replace(".", "/")
        return storage_root(self._engine.home, rse) / folder / digest[:2] / digest[2:4] / file.name

    def wait_verified(self, files: list[StfFile]) -> None:
        """Until Rucio says that every file is at both sites; then the bytes themselves are compared."""
        self.wait(lambda rule: rule["state"] == "OK" and rule["locks_ok_cnt"] == len(files))
        for rse in E1:
            for file in files:
                assert self.copy_at(rse, file).read_bytes() == file.content

    def wait(self, reached: Callable[[dict[str, Any]], bool]) -> None:
        """Until both rules satisfy `reached`."""
        poll(lambda: all(reached(rule) for rule in self._states()), self._states)

    def _states(self) -> list[dict[str, Any]]:
        return [self.client.get_replication_rule(rule) for rule in self.rules.values()]

    def _rule(self, rse: str) -> str:
        rules: list[str] = self.client.add_replication_rule([{"scope": SCOPE, "name": self.run}], 1, rse)
        return rules[0]

    def _connect(self) -> Any:
        environment = self._engine.environment()
        # Rucio's client looks for its configuration when it is imported.
        os.environ["RUCIO_CONFIG"] = environment["RUCIO_CONFIG"]
        from rucio.client import Client

        return Client(
            rucio_host=environment["RUCIO_HOST"],
            auth_host=environment["RUCIO_AUTH_HOST"],
            account=environment["RUCIO_ACCOUNT"],
            auth_type=environment["RUCIO_AUTH_TYPE"],
            creds={"username": environment["RUCIO_USERNAME"], "password": environment["RUCIO_PASSWORD"]},
        )
