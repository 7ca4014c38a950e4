"""What the engine tells the server's process, in a JSON file written before every start."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from services.remembered import write_private

VO = "EIC"
PRODUCTION = f"{VO}.production"
NICKNAME = "swf"
USER_NAME = "Swf Testbed"
PILOT_NAME = "Pilot"
# A pilot says something every 2 s.
HEARTBEAT_SECONDS = 20.0


@dataclass(frozen=True)
class Settings:
    """Everything that differs from one installation to the next.

    Attributes:
        directory: where keys, tokens and uploaded files lie.
        host: address on which the REST interface listens.
        port: its TCP port.
        database: address of the database, for psycopg.
        heartbeat: seconds of silence after which a job that is with a pilot counts as lost.
    """

    directory: str
    host: str
    port: int
    database: str
    heartbeat: float = HEARTBEAT_SECONDS

    @property
    def base(self) -> str:
        """URL of the server, without a path."""
        return f"http://{self.host}:{self.port}"

    @property
    def cache(self) -> Path:
        """Directory of what clients upload."""
        return Path(self.directory) / "cache"

    def save(self, path: Path) -> None:
        """Write the file; it carries a password, so only its owner may read it."""
        write_private(path, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Read what `save()` wrote."""
        return cls(**json.loads(path.read_text()))
