"""Rucio as an engine of the testbed."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import NoReturn

from services.base import REPOSITORY, Engine, EngineError
from services.ports import LOOPBACK, is_free, listening, port
from services.postgres.engine import Postgres
from services.remembered import password, write_private
from services.rucio.settings import ACCOUNT, Settings
from services.storage import E0, RSES, storage_root
from services.xrootd.engine import XRootD

LISTEN = "SWF_RUCIO_LISTEN"
CLIENT_CONFIGURATION = """\
# Written by the testbed, for clients: with a [database] section Rucio would take the reader for a server.
[client]
rucio_host = {host}
auth_host = {host}
auth_type = userpass
username = {account}
password = {password}
account = {account}
auth_token_file_path = {token}
"""


class Rucio(Engine):
    """The embedded Rucio: server, catalogue and daemons; its RSEs are those of `services.storage`."""

    name = "rucio"
    selected_by = "RUCIO_HOST"

    @property
    def port(self) -> int:
        """TCP port of the REST interface."""
        return self._listen()[1]

    @property
    def host(self) -> str:
        """Base URL of the REST interface."""
        return f"http://{LOOPBACK}:{self.port}"

    def environment(self) -> dict[str, str]:
        """`RUCIO_*` for any Rucio client, and `SWF_E0_BUFFER`, the directory behind the RSE E0_BUFFER."""
        return {
            "RUCIO_HOST": self.host,
            "RUCIO_AUTH_HOST": self.host,
            "RUCIO_ACCOUNT": ACCOUNT,
            "RUCIO_AUTH_TYPE": "userpass",
            "RUCIO_USERNAME": ACCOUNT,
            "RUCIO_PASSWORD": self._password(),
            "RUCIO_CONFIG": str(self._client_configuration()),
            "SWF_E0_BUFFER": str(storage_root(self.home, E0)),
        }

    def run(self) -> NoReturn:
        """Hand the settings over to Rucio's own environment and become the server.

        Raises:
            EngineError: that environment is missing, or the port is taken.
        """
        python = Path(os.environ.get("SWF_RUCIO_PYTHON") or REPOSITORY / ".venv-rucio" / "bin" / "python")
        if not python.exists():
            raise EngineError(
                f"Rucio's own Python is missing ({python}). Make it: python -m venv .venv-rucio &&"
                f" .venv-rucio/bin/pip install -r services/rucio/requirements.txt;"
                f" or name one in SWF_RUCIO_PYTHON; or use another Rucio by RUCIO_HOST"
            )
        if not is_free(self.port):
            raise EngineError(
                f"port {self.port} is taken: is this Rucio running already? If another program has it,"
                f" remove 'rucio' from {self.home / 'ports.json'} to have another port chosen"
            )
        for rse in RSES:
            storage_root(self.home, rse).mkdir(parents=True, exist_ok=True)
        settings = self.directory / "settings.json"
        self.settings().save(settings)
        os.chdir(REPOSITORY)
        command = [str(python), "-m", "services.rucio.server", str(settings)]
        os.execv(command[0], command)  # noqa: S606 - becoming the server is the contract of run()

    def settings(self) -> Settings:
        """What the process is told at its start."""
        xrootd = XRootD(self.home)
        return Settings(
            directory=str(self.directory),
            host=self._listen()[0],
            port=self.port,
            database=self._database(),
            password=self._password(),
            storage={rse: str(storage_root(self.home, rse)) for rse in RSES},
            xrootd={rse: xrootd.port(rse) for rse in RSES} if xrootd.embedded() else {},
        )

    def ready(self) -> str | None:
        """None when the REST interface answers, the topology is complete and the daemons work."""
        try:
            self._get("/ping")
            reason: str | None = self._get("/testbed/status")["reason"]
        except (urllib.error.URLError, OSError, ValueError, KeyError) as error:
            return f"no answer from {self.host}: {getattr(error, 'reason', error)}"
        return reason

    def _listen(self) -> tuple[str, int]:
        return listening(LISTEN) or (LOOPBACK, port(self.home, self.name))

    def _password(self) -> str:
        """The generated one; where others are to log in, who cannot read it here, `RUCIO_PASSWORD`.

        Raises:
            EngineError: it is to serve others, and there is none.
        """
        if not os.environ.get(LISTEN):
            return password(self.home, self.name)
        if not (given := os.environ.get("RUCIO_PASSWORD")):
            raise EngineError(f"{LISTEN} lets others in: set RUCIO_PASSWORD, which they are to give")
        return given

    def _get(self, path: str) -> dict[str, str | None]:
        with urllib.request.urlopen(f"{self.host}{path}", timeout=2) as response:  # noqa: S310 - our own http URL
            answer: dict[str, str | None] = json.load(response)
        return answer

    def _database(self) -> str:
        """Rucio's database: its own in the embedded PostgreSQL, else that of `DATABASE_URL` (own schema)."""
        postgres = Postgres(self.home)
        if postgres.embedded():
            return postgres.url("rucio", "postgresql+psycopg")
        scheme, separator, rest = os.environ["DATABASE_URL"].partition("://")
        if not separator or not scheme.startswith("postgres"):
            raise EngineError(
                "DATABASE_URL must begin with postgresql://: Rucio keeps its catalogue there too"
            )
        return f"postgresql+psycopg://{rest}"

    def _client_configuration(self) -> Path:
        path = self.directory / "client.cfg"
        text = CLIENT_CONFIGURATION.format(
            host=self.host,
            account=ACCOUNT,
            password=self._password(),
            token=self.directory / "token",
        )
        if not path.exists() or path.read_text() != text:
            write_private(path, text)
        return path
