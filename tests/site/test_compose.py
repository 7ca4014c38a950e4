"""docker-compose.yml holds the same programs as supervisord.conf, and no secret of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.base import REPOSITORY
from services.bus import CHOICES, Bus
from services.registry import compose_environment
from services.remembered import change
from swf_site.cli import compose, main
from swf_site.cli.home import Home
from tests.engines import names_an_engine

COMPOSE = REPOSITORY / "docker-compose.yml"
# Supervisor's programs that containers do without: the other bus, and copies by XRootD.
LOCAL_ONLY = {"rabbitmq", "xrootd"}
# Served by images of their own.
IMAGES = {"postgres", "activemq"}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services, with everything that YAML merges."""
    return dict(yaml.safe_load(COMPOSE.read_text())["services"])


@pytest.fixture(scope="module")
def programs() -> RawConfigParser:
    """Supervisor's configuration."""
    found = RawConfigParser(inline_comment_prefixes=(";",))
    found.read(REPOSITORY / "supervisord.conf")
    return found


def own(services: dict[str, Any]) -> dict[str, Any]:
    """The services that are programs of the testbed."""
    return {name: one for name, one in services.items() if name not in {*IMAGES, compose.PREPARATION}}


def test_the_services_are_supervisors_programs(services: dict[str, Any], programs: RawConfigParser) -> None:
    named = {name.removeprefix("program:") for name in programs.sections() if name.startswith("program:")}
    assert set(services) - {compose.PREPARATION} == named - LOCAL_ONLY


def test_each_runs_the_same_command(services: dict[str, Any], programs: RawConfigParser) -> None:
    for name, one in own(services).items():
        # Containers have shares of the processor of their own.
        interpreter, *words = programs[f"program:{name}"]["command"].removeprefix("nice -n 10 ").split()
        assert interpreter == '"%(here)s/.venv/bin/python"'
        listening = {"127.0.0.1": "0.0.0.0", "%(ENV_SWF_WEB_PORT)s": "8000"}
        assert one["command"] == ["python", *(listening.get(word, word) for word in words)]


def test_each_has_the_same_variables(
    services: dict[str, Any],
    programs: RawConfigParser,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in list(os.environ):
        if names_an_engine(name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SWF_TRANSFER", "posix")
    change(tmp_path / CHOICES, "bus", Bus.ACTIVEMQ)
    # Files and ports that only this machine's own engines have.
    composed = set(compose_environment(tmp_path)) - {"RUCIO_CONFIG", "ACTIVEMQ_STOMP_PORT"}
    expected = composed | {"SECRET_KEY", "SWF_TRANSFER"}
    for name, one in own(services).items():
        given = dict(one["environment"])
        process = programs[f"program:{name}"].get("environment", "").partition("=")[2].strip('"')
        assert given.pop("SWF_PROCESS", "") == process
        assert set(given) - {"SWF_RUCIO_LISTEN", "SWF_PANDA_LISTEN", "SWF_ANONYMOUS_READ"} == expected
    assert set(services[compose.PREPARATION]["environment"]) == expected


def test_no_secret_has_a_default(services: dict[str, Any]) -> None:
    text = COMPOSE.read_text()
    for name in (*compose.SECRETS, compose.CONFIGURATION):
        assert f"${{{name}:?" in text
        assert f"${{{name}:-" not in text
        assert f"${name}" not in text
    for one in services.values():
        for variable, value in one.get("environment", {}).items():
            if variable.endswith(("PASSWORD", "KEY")):
                assert value.startswith("${")


def test_images_are_pinned_and_ports_open_to_this_machine_only(services: dict[str, Any]) -> None:
    for name, one in services.items():
        assert (one["image"] == "swf-testbed") != (name in IMAGES)
        assert name not in IMAGES or one["image"].partition(":")[2][0].isdigit()
        assert all(port.startswith("127.0.0.1:") for port in one.get("ports", []))


def test_what_the_image_copies_is_there_and_enough() -> None:
    kept = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line[0] == "!"}
    assert all((REPOSITORY / name).exists() for name in kept)
    needed = {
        "apps",
        "client",
        "services",
        "swf_site",
        "templates",
        "static",
        "workflows",
        "manage.py",
        "requirements.txt",
    }
    assert needed == kept


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    path = tmp_path / ".env"
    path.write_text("# mine\nACTIVEMQ_PASSWORD=chosen\nSWF_WEB_PORT=8123\n")
    made = compose.write_environment(home, path)
    assert compose.write_environment(home, path) == made
    assert compose.read_environment(path) == made
    assert set(made) == {*compose.SECRETS, compose.CONFIGURATION, "COMPOSE_PROJECT_NAME", "SWF_WEB_PORT"}
    assert made["ACTIVEMQ_PASSWORD"] == "chosen"
    assert path.stat().st_mode & 0o777 == 0o600
    configuration = Path(made[compose.CONFIGURATION])
    assert 'password="chosen"' in configuration.read_text()
    assert "stomp+nio://0.0.0.0:61613" in configuration.read_text()
    assert home.directory.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("lines", ["{}\n{}", "[{},{}]"])
def test_docker_tells_the_state_in_two_ways(lines: str) -> None:
    one = json.dumps({"Service": "web", "State": "running", "Health": "healthy", "ExitCode": 0})
    two = json.dumps({"Service": "prepare", "State": "exited", "Health": "", "ExitCode": 1})
    web, prepare = compose.containers(lines.replace("{}", "%s") % (one, two))
    assert web.fine
    assert not prepare.fine
    assert not compose.all_fine([])


@pytest.mark.parametrize("command", ["start", "stop", "status"])
def test_without_docker_the_way_without_containers_is_told(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([command]) == 1
    assert "docker is not installed. Without containers: swf-testbed start-local" in capsys.readouterr().err
    docker = tmp_path / "docker"
    for program, reason in (
        ("exit 1", "this docker has no compose"),
        (
            '[ "$1" = compose ] || { echo no daemon >&2; exit 1; }',
            "the docker daemon does not answer: no daemon",
        ),
    ):
        docker.write_text(f"#!/bin/sh\n{program}\n")
        docker.chmod(0o755)
        assert main([command]) == 1
        assert reason in capsys.readouterr().err


def test_docker_compose_reads_the_file(tmp_path: Path) -> None:
    program = _docker_compose()
    if not program:
        missing = "no docker compose here to read the file with; install the package docker-compose"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    home = Home(tmp_path / "home")
    home.prepare()
    compose.write_environment(home, tmp_path / ".env")
    command = [*program, "--file", str(COMPOSE), "--env-file", str(tmp_path / ".env"), "config", "--services"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == set(yaml.safe_load(COMPOSE.read_text())["services"])


def _docker_compose() -> list[str]:
    """Docker's own plugin, else the program of older days, which needs no docker; empty without either."""
    for program in (["docker", "compose"], ["docker-compose"]):
        found = shutil.which(program[0])
        if found and not subprocess.run([*program, "version"], capture_output=True, check=False).returncode:
            return program
    return []
