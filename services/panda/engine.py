"""The embedded PanDA-compatible server as an engine of the testbed."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from typing import NoReturn

from services.base import REPOSITORY, Engine, EngineError
from services.panda.settings import HEARTBEAT_SECONDS, NICKNAME, VO, Settings
from services.panda.tokens import user_token
from services.ports import LOOPBACK, is_free, listening, port
from services.postgres.engine import Postgres
from services.rucio.engine import Rucio

HEARTBEAT = "SWF_PANDA_HEARTBEAT_SECONDS"
LISTEN = "SWF_PANDA_LISTEN"


class Panda(Engine):
    """A server that speaks PanDA's REST v1; its queues are those of `services.panda.queues`."""

    name = "panda"
    selected_by = "PANDA_URL"

    @property
    def port(self) -> int:
        """TCP port of the REST interface."""
        return self._listen()[1]

    @property
    def url(self) -> str:
        """What PanDA's client takes as the server's address; it uses scheme, host and port of it."""
        return f"http://{LOOPBACK}:{self.port}/server/panda"

    def environment(self) -> dict[str, str]:
        """`PANDA_*` for PanDA's client, with the file of the user's token."""
        return {
            "PANDA_URL": self.url,
            "PANDA_URL_SSL": self.url,
            "PANDACACHE_URL": self.url,
            "PANDA_AUTH": "oidc",
            "PANDA_AUTH_VO": VO,
            # The client takes PANDA_AUTH_ID_TOKEN for the token itself; this one it takes for a file.
            "OIDC_AUTH_TOKEN_FILE": str(user_token(self.directory)),
            # Otherwise the client asks the DNS for other names of the address.
            "PANDA_BEHIND_REAL_LB": "1",
            "PANDA_NICKNAME": NICKNAME,
            "PANDA_CONFIG_ROOT": str(self.directory / "client"),
        }

    def run(self) -> NoReturn:
        """Write the settings and become the server.

        Raises:
            EngineError: the port is taken, or a variable has no meaning.
        """
        if not is_free(self.port):
            raise EngineError(
                f"port {self.port} is taken: is this PanDA running already? If another program has it,"
                f" remove 'panda' from {self.home / 'ports.json'} to have another port chosen"
            )
        settings = self.directory / "settings.json"
        self.settings().save(settings)
        rucio = Rucio(self.home)
        if rucio.embedded():
            os.environ.update(rucio.environment())
        os.chdir(REPOSITORY)
        command = [sys.executable, "-m", "services.panda.server", str(settings)]
        os.execv(command[0], command)  # noqa: S606 - becoming the server is the contract of run()

    def settings(self) -> Settings:
        """What the process is told at its start.

        Raises:
            EngineError: a variable has no meaning.
        """
        return Settings(
            directory=str(self.directory),
            host=self._listen()[0],
            port=self.port,
            database=self._database(),
            heartbeat=_seconds(os.environ.get(HEARTBEAT) or str(HEARTBEAT_SECONDS)),
        )

    def ready(self) -> str | None:
        """None when the REST interface answers and the steps behind it work."""
        base = f"http://{LOOPBACK}:{self.port}"
        try:
            with urllib.request.urlopen(f"{base}/testbed/status", timeout=2) as response:  # noqa: S310 - our own http URL
                reason: str | None = json.load(response)["reason"]
        except (urllib.error.URLError, OSError, ValueError, KeyError) as error:
            return f"no answer from {base}: {getattr(error, 'reason', error)}"
        return reason

    def _listen(self) -> tuple[str, int]:
        return listening(LISTEN) or (LOOPBACK, port(self.home, self.name))

    def _database(self) -> str:
        """A database of its own in the embedded PostgreSQL, else that of `DATABASE_URL` (own schema)."""
        postgres = Postgres(self.home)
        if postgres.embedded():
            return postgres.url("panda")
        scheme, separator, rest = os.environ["DATABASE_URL"].partition("://")
        if not separator or not scheme.startswith("postgres"):
            raise EngineError("DATABASE_URL must begin with postgresql://: PanDA keeps its tables there too")
        return f"postgresql://{rest}"


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise EngineError(f"{HEARTBEAT}={text!r} must be a number of seconds above 0")
    return seconds
