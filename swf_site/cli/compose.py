"""The testbed in containers: `docker compose` on the checkout's own file, with secrets made once in `.env`."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from services.activemq.configuration import AUTO, STOMP, render
from services.base import REPOSITORY
from services.remembered import write_private
from swf_site.cli.errors import CommandError
from swf_site.cli.home import Home

ENVIRONMENT = REPOSITORY / ".env"
SECRETS = ("SECRET_KEY", "POSTGRES_PASSWORD", "ACTIVEMQ_PASSWORD", "RUCIO_PASSWORD")
CONFIGURATION = "ACTIVEMQ_CONFIGURATION"
PROJECT = "swf-testbed"
# Runs once and ends.
PREPARATION = "prepare"
ACTIVEMQ_DATA = Path("/opt/apache-activemq/data")
ACTIVEMQ_ADDRESSES = {AUTO: ("0.0.0.0", 61616), STOMP: ("0.0.0.0", 61613)}  # noqa: S104 - inside its container
ANSWER_SECONDS = 20


@dataclass(frozen=True)
class Container:
    """One service as docker sees it; `health` is empty where nothing asks for it."""

    service: str
    state: str
    health: str
    exit_code: int

    @property
    def fine(self) -> bool:
        """It runs and is healthy, or has done what it was to do."""
        if self.service == PREPARATION:
            return self.state == "exited" and self.exit_code == 0
        return self.state == "running" and self.health in ("", "healthy")


def start(home: Home) -> None:
    """Make the secrets and the broker's configuration, build the image, bring all up and wait.

    Raises:
        CommandError: docker is missing or does not answer, or a container did not come up.
    """
    require_docker()
    home.prepare()
    write_environment(home, ENVIRONMENT)
    if _compose("up", "--build", "--detach", "--wait").returncode != 0:
        raise CommandError("not everything came up: swf-testbed status, then docker compose logs SERVICE")


def stop() -> None:
    """Stop and remove the containers; the volumes stay.

    Raises:
        CommandError: docker is missing or does not answer, or failed.
    """
    require_docker()
    if ENVIRONMENT.exists() and _compose("down").returncode != 0:
        raise CommandError("docker compose failed; its messages are above")


def status() -> list[Container]:
    """Every container of the testbed, none before the first start.

    Raises:
        CommandError: docker is missing or does not answer.
    """
    require_docker()
    if not ENVIRONMENT.exists():
        return []
    asked = _compose("ps", "--all", "--format", "json", capture=True)
    if asked.returncode != 0:
        raise CommandError(f"docker compose failed: {asked.stderr.strip()}")
    return containers(asked.stdout)


def containers(output: str) -> list[Container]:
    """What `docker compose ps --format json` says: one object a line, in older versions one array."""
    text = output.strip()
    found = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]
    return [
        Container(one["Service"], one["State"], one.get("Health", ""), one.get("ExitCode", 0))
        for one in found
    ]


def as_dict(found: list[Container]) -> dict[str, object]:
    """As `status --json` prints it."""
    return {"ready": all_fine(found), "containers": [asdict(one) for one in found]}


def all_fine(found: list[Container]) -> bool:
    """There are containers, and each is as it should be."""
    return bool(found) and all(one.fine for one in found)


def write_environment(home: Home, path: Path) -> dict[str, str]:
    """Complete the file of variables for docker compose (0600) and write the broker's configuration beside the state.

    What is in the file already stays: the databases in the volumes know these passwords.
    """
    kept = read_environment(path)
    configuration = home.directory / "compose" / "activemq.xml"
    made = {name: secrets.token_hex(24) for name in SECRETS} | kept
    made |= {CONFIGURATION: str(configuration), "COMPOSE_PROJECT_NAME": PROJECT}
    write_private(path, "".join(f"{name}={value}\n" for name, value in made.items()))
    write_private(configuration, render(ACTIVEMQ_DATA, made["ACTIVEMQ_PASSWORD"], ACTIVEMQ_ADDRESSES))
    # The broker's user in the container reads it; on this machine the directory above lets nobody in.
    configuration.chmod(0o644)
    return made


def read_environment(path: Path) -> dict[str, str]:
    """Name to value of a file of `NAME=value` lines; empty if there is none."""
    if not path.exists():
        return {}
    lines = (line.partition("=") for line in path.read_text().splitlines() if not line.startswith("#"))
    return {name.strip(): value.strip() for name, equals, value in lines if equals}


def require_docker() -> None:
    """Go on if there is a docker client with compose, and a daemon that answers it.

    Raises:
        CommandError: what is missing, and the way without containers.
    """
    instead = "Without containers: swf-testbed start-local"
    if shutil.which("docker") is None:
        raise CommandError(f"docker is not installed. {instead}")
    if _answer("compose", "version").returncode != 0:
        raise CommandError(
            f"this docker has no compose: install the package docker-compose-plugin. {instead}"
        )
    daemon = _answer("version", "--format", "{{.Server.Version}}")
    if daemon.returncode != 0:
        raise CommandError(f"the docker daemon does not answer: {daemon.stderr.strip()}. {instead}")


def _answer(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"docker does not answer in {ANSWER_SECONDS} s") from error


def _compose(*arguments: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
    # A shell's variables would outrank the file: one that is a client of another broker has these names too.
    variables = {name: value for name, value in os.environ.items() if name not in (*SECRETS, CONFIGURATION)}
    command = ["docker", "compose", "--project-directory", str(REPOSITORY), *arguments]
    return subprocess.run(command, env=variables, capture_output=capture, text=True, check=False)
