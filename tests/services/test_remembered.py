"""Ports and passwords: chosen once, the same for every process that asks."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from services.base import REPOSITORY, EngineError
from services.ports import LOOPBACK, is_free, port
from services.registry import CLASSES, compose_environment, engines
from services.remembered import change, password, recall

ASK = "import sys, pathlib; from services.ports import port; print(port(pathlib.Path(sys.argv[1]), 'one'))"


def test_a_port_stays(tmp_path: Path) -> None:
    first = port(tmp_path, "one")
    assert is_free(first)
    assert port(tmp_path, "one") == first


def test_ports_are_those_of_the_range_that_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWF_PORTS", "9021-9022")
    assert {port(tmp_path, name, preferred=61616) for name in ("one", "two")} == {9021, 9022}
    with pytest.raises(OSError, match=r"no free port .* 9021-9022 \(SWF_PORTS\)"):
        port(tmp_path, "three")


@pytest.mark.parametrize("nonsense", ["9000", "a-b", "9002-9001", "0-9000", "9000-70000"])
def test_a_range_that_is_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nonsense: str
) -> None:
    monkeypatch.setenv("SWF_PORTS", nonsense)
    with pytest.raises(EngineError, match=f"SWF_PORTS='{nonsense}' must be first-last, such as 20000-31999"):
        port(tmp_path, "one")


def test_no_two_engines_have_one_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # None of them listens yet: whether a number is free does not tell.
    monkeypatch.setenv("SWF_PORTS", "9001-9008")
    chosen = {
        port(home, name) for home in (tmp_path / "a", tmp_path / "b") for name in ("one", "two", "three")
    }
    assert len(chosen) == 6


def test_nor_if_other_processes_chose_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWF_PORTS", "9011-9012")
    change(tmp_path / "ports.json", "one", 9012)
    assert port(tmp_path, "two") == 9011


def test_processes_that_ask_at_once_agree(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ASK, str(tmp_path)]
    asking = [subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) for _ in range(5)]
    answers = {process.communicate(timeout=120)[0].strip() for process in asking}
    assert answers == {str(port(tmp_path, "one"))}


def test_choices_are_private(tmp_path: Path) -> None:
    assert password(tmp_path, "swf") == password(tmp_path, "swf")
    assert password(tmp_path, "swf") != password(tmp_path, "rucio")
    assert stat.S_IMODE((tmp_path / "passwords.json").stat().st_mode) == 0o600


def test_a_choice_can_be_changed_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "choices.json"
    assert recall(path, "one") is None
    change(path, "one", "first")
    change(path, "two", 2)
    change(path, "one", "second")
    assert (recall(path, "one"), recall(path, "two")) == ("second", 2)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("{")
    with pytest.raises(ValueError, match=r"ports\.json is not JSON .* remove it"):
        port(tmp_path, "one")


def test_a_listening_port_is_not_free() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        assert not is_free(server.getsockname()[1])


def test_an_engine_served_elsewhere_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in CLASSES:
        monkeypatch.delenv(kind.selected_by, raising=False)
    own = compose_environment(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/db")
    assert "postgres" not in engines(tmp_path)
    assert "DATABASE_URL" not in compose_environment(tmp_path)
    # A child of the testbed inherits the composed address: that is not "elsewhere".
    monkeypatch.setenv("DATABASE_URL", own["DATABASE_URL"])
    assert "postgres" in engines(tmp_path)


def test_the_users_broker_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "BROKER_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ACTIVEMQ_HOST", "broker.example.org")
    assert compose_environment(tmp_path)["BROKER_URL"] == ""


def test_the_command_line_prints_what_a_shell_can_read(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.endswith(("_URL", "_HOST"))}
    printed = subprocess.run(
        [sys.executable, "-m", "services", "environment", "postgres"],
        cwd=REPOSITORY,
        env={**environment, "SWF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.startswith("export DATABASE_URL=postgresql://swf:")
