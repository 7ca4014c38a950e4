"""RabbitMQ as an engine of the testbed: Debian's package, started as a plain process."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import NoReturn

import amqp

from services.base import Engine, EngineError
from services.ports import LOOPBACK, is_free, port
from services.privileges import as_server_user
from services.remembered import password, write_private

USER = "admin"
# Not the program of this name in /usr/sbin, which works as the system's one server only.
SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
INSTALL = "apt-get install --no-install-recommends rabbitmq-server"
# Names of ports in ports.json: for clients, and for what Erlang needs beside.
AMQP, DISTRIBUTION, EPMD = "rabbitmq", "rabbitmq-distribution", "rabbitmq-epmd"
USUAL_PORT = 5672
EPMD_SECONDS = 5.0

# The account is made with the database, at the first start; with a default user of another name there is no guest.
CONFIGURATION = """\
listeners.tcp.1 = {host}:{port}
default_user = {user}
default_pass = {password}
vm_memory_high_watermark.absolute = 256MB
disk_free_limit.absolute = 200MB
log.console = true
log.console.level = warning
log.file = false
"""


class RabbitMQ(Engine):
    """One node for AMQP 0-9-1 clients, with its database under `<home>/rabbitmq/data`."""

    name = "rabbitmq"
    selected_by = "BROKER_URL"

    @property
    def port(self) -> int:
        """TCP port for clients: 5672 if that was free when it was chosen."""
        return port(self.home, AMQP, USUAL_PORT)

    def environment(self) -> dict[str, str]:
        """`BROKER_URL` as Celery takes it."""
        secret = password(self.home, self.name)
        return {"BROKER_URL": f"amqp://{USER}:{secret}@{LOOPBACK}:{self.port}//"}

    def missing(self) -> str | None:
        """None when Debian's package is installed."""
        absent = [
            name
            for name, found in {"RabbitMQ": SCRIPT.exists(), "epmd": shutil.which("epmd")}.items()
            if not found
        ]
        return f"{' and '.join(absent)} not found. Install: {INSTALL}" if absent else None

    def run(self) -> NoReturn:
        """Write the configuration anew, start Erlang's name server and become the broker.

        Raises:
            EngineError: the package is missing, or a port is taken.
        """
        if reason := self.missing():
            raise EngineError(reason)
        ports = {AMQP: self.port, DISTRIBUTION: port(self.home, DISTRIBUTION), EPMD: port(self.home, EPMD)}
        variables = self._configure(ports)
        self._wait_for(ports)
        os.chdir(self.directory)
        _start_name_server(ports[EPMD])
        os.execve(SCRIPT, [str(SCRIPT)], variables)  # noqa: S606 - becoming the server is the contract of run()

    def ready(self) -> str | None:
        """None when a login succeeds, else the reason in one line."""
        if reason := self.missing():
            return reason
        client = amqp.Connection(
            host=f"{LOOPBACK}:{self.port}",
            userid=USER,
            password=password(self.home, self.name),
            connect_timeout=2,
            read_timeout=2,
            write_timeout=2,
        )
        try:
            client.connect()
            client.close()
        except (OSError, amqp.AMQPError) as error:
            return (
                f"no login on {LOOPBACK}:{self.port}: {' '.join(str(error).split()) or type(error).__name__}"
            )
        return None

    def _configure(self, ports: dict[str, int]) -> dict[str, str]:
        """Write what the node reads; returns the variables it is started with, none of them the system's."""
        data = self.directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        secret = password(self.home, self.name)
        configuration = self.directory / "rabbitmq.conf"
        write_private(
            configuration,
            CONFIGURATION.format(host=LOOPBACK, port=ports[AMQP], user=USER, password=secret),
        )
        plugins = self.directory / "enabled_plugins"
        plugins.write_text("[].\n")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ_")}
        return {
            **inherited,
            "HOME": str(self.directory),  # for Erlang's cookie
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_EPMD_PORT": str(ports[EPMD]),
            "RABBITMQ_CONF_ENV_FILE": str(self.directory / "no-rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(configuration),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.directory / "no-advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(self.directory / "generated"),
            "RABBITMQ_MNESIA_BASE": str(data),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_NODENAME": "swf@localhost",
            "RABBITMQ_DIST_PORT": str(ports[DISTRIBUTION]),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            # The script then becomes the node instead of watching over it, and the node stops on SIGTERM.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _wait_for(self, ports: dict[str, int]) -> None:
        """Let the name server of a killed predecessor end, which is killed with it but not in the same instant."""
        deadline = time.monotonic() + EPMD_SECONDS
        while taken := [name for name, number in ports.items() if not is_free(number)]:
            if time.monotonic() > deadline:
                numbers = ", ".join(str(ports[name]) for name in taken)
                raise EngineError(
                    f"port {numbers} is taken: is this RabbitMQ running already? If another program has it,"
                    f" remove {', '.join(map(repr, taken))} from {self.home / 'ports.json'} to have another chosen"
                )
            time.sleep(0.1)


def _start_name_server(number: int) -> None:
    """Start an epmd of our own, which ends with this process, whatever that becomes.

    Otherwise Erlang starts one by itself: as a daemon that stays, on the port that the system's own would have.

    Raises:
        EngineError: it did not come up.
    """
    epmd = shutil.which("epmd") or "epmd"
    prefix = as_server_user([Path(epmd)], die_with_parent=True)
    command = [*prefix, epmd, "-address", LOOPBACK, "-port", str(number)]
    server = subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + EPMD_SECONDS
    while is_free(number):
        if server.poll() is not None or time.monotonic() > deadline:
            raise EngineError(f"epmd, Erlang's name server, did not come up on port {number}")
        time.sleep(0.02)
