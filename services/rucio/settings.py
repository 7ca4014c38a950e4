"""What the engine tells the Rucio process, in a JSON file written before every start."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from services.remembered import write_private

ACCOUNT = "swf"
SCOPE = "group.daq"
VERSION = "41.5.1"
# How the client that archives calls itself: others stand back for copies, which it waits for.
DATA_CLIENT = "swf-data"


@dataclass(frozen=True)
class Settings:
    """Everything that differs from one installation to the next.

    Attributes:
        directory: where the process writes its configuration and keeps its lock.
        host: address on which the REST interface listens.
        port: its TCP port.
        database: SQLAlchemy address of the catalogue's database.
        password: of the client account.
        storage: RSE to the absolute path of its directory.
        xrootd: RSE to the port of its XRootD server; empty when copies are made by POSIX means.
    """

    directory: str
    host: str
    port: int
    database: str
    password: str
    storage: dict[str, str]
    xrootd: dict[str, int]

    def save(self, path: Path) -> None:
        """Write the file; it carries passwords, so only its owner may read it."""
        write_private(path, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Read what `save()` wrote."""
        return cls(**json.loads(path.read_text()))
