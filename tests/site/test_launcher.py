"""The script `swf-testbed` in small checkouts of its own, with requirement files that ask for nothing."""

from __future__ import annotations

import ast
import fcntl
import importlib.machinery
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "swf-testbed"
SECONDS = 250
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # `python3` is the interpreter of the tests
CLI = "import sys\ndef main(arguments):\n    print('cli', *arguments, sys.prefix)\n    return 7\n"
WITHOUT_ENSUREPIP = """\
import sys
from importlib.machinery import PathFinder

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name == "ensurepip" else PathFinder.find_spec(name, path, target)

sys.meta_path = [Finder if finder is PathFinder else finder for finder in sys.meta_path]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the script, empty requirement files and a command line that reports its arguments."""
    root = tmp_path / "check out"
    for name in ("requirements", "requirements-dev", "client/requirements", "services/rucio/requirements"):
        file = root / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("# nothing\n")
    (root / "swf_site" / "cli").mkdir(parents=True)
    (root / "swf_site" / "cli" / "__init__.py").write_text(CLI)
    shutil.copy(SCRIPT, root)
    return root


@pytest.fixture
def launcher(checkout: Path) -> ModuleType:
    """The script of that checkout as a module."""
    loader = importlib.machinery.SourceFileLoader("launcher", str(checkout / "swf-testbed"))
    spec = importlib.util.spec_from_loader("launcher", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def call(checkout: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts the script from another directory; pip may not go out, so pip does the work that uv would."""

    def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(checkout / "swf-testbed"), *arguments],
            cwd="/",
            env={**os.environ, "PATH": PATH, "PIP_NO_INDEX": "1", **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def stamped(launcher: ModuleType, digests: dict[str, str]) -> Path:
    """A project environment that claims these requirement files."""
    project = launcher.environments()[0]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", project.directory], check=True)
    launcher.write_stamp(project, digests)
    return Path(project.directory)


def test_an_old_python_can_parse_it_and_so_reach_the_message() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 6))


def test_help_needs_no_set_up(checkout: Path, call: Callable[..., subprocess.Popen[str]]) -> None:
    out, _ = call("--help").communicate(timeout=SECONDS)
    assert "demo" in out
    assert "stop-local" in out
    assert not (checkout / ".venv").exists()


def test_an_environment_is_current_only_for_the_requirements_it_was_made_from(launcher: ModuleType) -> None:
    project = launcher.environments()[0]
    assert not launcher.is_current(project)
    stamped(launcher, launcher.wanted(project))
    assert launcher.is_current(project)
    assert not launcher.is_current(launcher.environments(dev=True)[0])
    project.requirements[0].write_text("something\n")
    assert not launcher.is_current(project)
    assert launcher.installed(project) is not None


@pytest.mark.parametrize("damage", ["interpreter", "stamp", "moved"])
def test_a_damaged_environment_counts_as_none(launcher: ModuleType, damage: str) -> None:
    project = launcher.environments()[0]
    directory = stamped(launcher, launcher.wanted(project))
    if damage == "interpreter":
        (directory / "bin" / "python").unlink()
    elif damage == "stamp":
        project.stamp.write_text("{")
    else:
        elsewhere = directory.with_name("elsewhere")
        directory.rename(elsewhere)
        project = project._replace(directory=elsewhere)
    assert launcher.installed(project) is None


def test_a_killed_set_up_is_repaired_and_the_next_call_only_enters(
    checkout: Path, call: Callable[..., subprocess.Popen[str]]
) -> None:
    first = call("demo")
    deadline = time.monotonic() + SECONDS
    while not (checkout / ".venv" / "bin").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.communicate()

    second = call("demo", "--json")
    out, messages = second.communicate(timeout=SECONDS)
    assert (second.returncode, out) == (7, f"cli demo --json {checkout / '.venv'}\n")
    assert "project: ready" in messages
    assert "Rucio server: ready" in messages

    third = call("status-local")
    out, messages = third.communicate(timeout=SECONDS)
    assert (out, messages) == (f"cli status-local {checkout / '.venv'}\n", "")


def test_a_second_call_waits_for_the_first_and_says_so(
    checkout: Path, call: Callable[..., subprocess.Popen[str]]
) -> None:
    with (checkout / "requirements.txt").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = call("demo")
        assert second.stderr is not None
        assert "waiting" in second.stderr.readline()
        assert not (checkout / ".venv").exists()
        second.kill()
        second.communicate()


def test_without_the_venv_module_the_package_is_installed_or_named(
    tmp_path: Path, call: Callable[..., subprocess.Popen[str]]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_ENSUREPIP)
    apt_get, calls = tmp_path / "apt-get", tmp_path / "calls"
    apt_get.write_text(f'#!/bin/sh\necho "$1" >> "{calls}"\necho no such package\nexit 100\n')
    apt_get.chmod(0o755)
    process = call("demo", PYTHONPATH=str(tmp_path), PATH=f"{tmp_path}:{PATH}")
    _, messages = process.communicate(timeout=SECONDS)
    assert process.returncode == 2
    assert f"apt-get install -y python3.{sys.version_info.minor}-venv" in messages
    if os.geteuid() == 0:
        assert calls.read_text().split() == ["install", "update", "install"]
    else:
        assert not calls.exists()
