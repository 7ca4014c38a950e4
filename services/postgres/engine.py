"""PostgreSQL 18 as an engine of the testbed: for the testbed, its default broker, Rucio and PanDA."""

from __future__ import annotations

import os
import signal
from typing import ClassVar, NoReturn

import psycopg

from services.base import Engine, EngineError
from services.ports import LOOPBACK, is_free, port
from services.postgres import cluster
from services.privileges import as_server_user
from services.remembered import password

ROLES = ("swf", "rucio", "panda")
# On the command line and not in postgresql.conf: a newer testbed's values hold for an old cluster as well.
# Everything about durability stays at PostgreSQL's own, safe defaults.
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "jit": "off",  # compiling costs more than it saves on queries of milliseconds
    "autovacuum_naptime": "15s",  # the broker's queue tables turn over completely within seconds
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_checkpoints": "off",
}


class Postgres(Engine):
    """The embedded PostgreSQL: a role with a database of its own for the testbed (`swf`), `rucio` and `panda`."""

    name = "postgres"
    selected_by = "DATABASE_URL"
    # SIGTERM would wait until the last client has gone, SIGINT ends the sessions and stops cleanly.
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT

    @property
    def port(self) -> int:
        """TCP port on the loopback interface."""
        return port(self.home, self.name)

    def url(self, role: str = "swf", scheme: str = "postgresql") -> str:
        """Address of the database `role` with its owner's password; `scheme` is the client library's."""
        return f"{scheme}://{role}:{password(self.home, f'postgres-{role}')}@{LOOPBACK}:{self.port}/{role}"

    def environment(self) -> dict[str, str]:
        """`DATABASE_URL`, and `BROKER_URL` for the queues kept in the same database."""
        return {"DATABASE_URL": self.url(), "BROKER_URL": self.url(scheme="pgmq")}

    def run(self) -> NoReturn:
        """Make the cluster on first use, wait for a killed predecessor's processes, become the server.

        Raises:
            EngineError: another server holds the cluster or the port, or the cluster could not be made.
        """
        data = self.directory / "data"
        passwords = {role: password(self.home, f"postgres-{role}") for role in ROLES}
        if not data.exists():
            cluster.create(data, passwords)
        cluster.settle(data)
        if not is_free(self.port):
            raise EngineError(
                f"port {self.port} is taken by another program: stop it,"
                f" or remove 'postgres' from {self.home / 'ports.json'} to have another one chosen"
            )
        cluster.extend(data, passwords)
        program = str(cluster.binary("postgres"))
        settings = [f"--{name}={value}" for name, value in {**SETTINGS, "port": str(self.port)}.items()]
        command = [*as_server_user([data, cluster.binary("postgres")]), program, "-D", str(data), *settings]
        os.chdir("/")
        os.execv(command[0], command)  # noqa: S606 - becoming the server is the contract of run()

    def ready(self) -> str | None:
        """None when a query is answered, else the driver's words in one line."""
        try:
            with psycopg.connect(self.url(), connect_timeout=3) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error as error:
            return " ".join(str(error).split())
        return None
