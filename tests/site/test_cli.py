"""The command line without a running system, and with a supervisor of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.base import REPOSITORY
from services.bus import chosen_bus
from services.registry import CLASSES
from swf_site.cli import app, main, processes, system
from swf_site.cli.demo import RunRequest, summary
from swf_site.cli.errors import CommandError
from swf_site.cli.home import Home
from swf_site.cli.steps import Step, run_steps
from swf_site.cli.supervisor import Supervisor
from tests.engines import names_an_engine

SECONDS = 60.0


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The state directory of the commands in this test, with engines of its own."""
    for name in list(os.environ):
        if names_an_engine(name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SWF_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home")


@pytest.fixture
def supervisor(home: Home) -> Iterator[Supervisor]:
    """A real supervisor with the project's configuration and nothing started."""
    home.prepare()
    running = Supervisor(home)
    running.launch()
    yield running
    system.stop(home)


class Record:
    """A watcher that writes down what it sees."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def begin(self, name: str) -> None:
        self.seen.append(f"begin {name}")

    def finish(self, name: str, note: str) -> None:
        self.seen.append(f"{note} {name}")

    def fail(self, name: str) -> None:
        self.seen.append(f"fail {name}")


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("init", "--dev"),
        ("start-local", "--bus"),
        ("stop-local", "--help"),
        ("status-local", "--json"),
        ("start", "docker compose"),
        ("stop", "volumes"),
        ("status", "--json"),
        ("run", "--from-dir"),
        ("demo", "--stf-interval"),
        ("agent-manager", "start_testbed"),
        ("fastmon", "--token"),
    ],
)
def test_every_command_explains_itself(
    command: str, option: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main([command, "--help"]) == 0
    assert option in capsys.readouterr().out


def test_the_command_line_does_not_import_django() -> None:
    code = "import sys, swf_site.cli; sys.exit('django' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


def test_status_of_nothing_says_how_to_start(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status-local"]) == 1
    assert "swf-testbed start-local" in capsys.readouterr().out
    assert main(["status-local", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "ready": False,
        "supervisor": False,
        "processes": [],
        "engines": [],
        "dashboard": None,
    }
    assert not home.directory.exists()


def test_a_run_needs_a_running_system(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "fast"]) == 1
    assert "start-local" in capsys.readouterr().err


def test_stopping_nothing_is_no_error(home: Home) -> None:
    assert main(["stop-local"]) == 0


def test_init_makes_a_private_home_and_keeps_its_secret(home: Home) -> None:
    assert main(["init"]) == 0
    secret = (home.directory / "secret-key").read_text()
    assert main(["init"]) == 0
    assert (home.directory / "secret-key").read_text() == secret
    assert home.directory.stat().st_mode & 0o777 == 0o700
    assert (home.directory / "secret-key").stat().st_mode & 0o777 == 0o600


def test_an_impossible_home_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SWF_HOME", str(tmp_path / "file" / "home"))
    assert main(["init"]) == 1
    message = capsys.readouterr().err
    assert str(tmp_path / "file" / "home") in message
    assert "SWF_HOME" in message


def test_a_socket_too_deep_for_the_kernel_goes_to_a_short_private_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/tmp")
    deep = Home(tmp_path / ("d" * 100))
    deep.prepare()
    try:
        assert len(bytes(deep.socket)) < 100
        assert deep.socket.parent.stat().st_mode & 0o777 == 0o700
        deep.socket.parent.chmod(0o755)
        with pytest.raises(CommandError, match="not private"):
            deep.prepare()
    finally:
        deep.socket.parent.rmdir()


@pytest.mark.parametrize("port", ["", "web", "0", "70000"])
def test_a_port_that_is_none_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("SWF_WEB_PORT", port)
    with pytest.raises(CommandError, match="SWF_WEB_PORT"):
        _ = home.web_port


def test_only_what_was_said_about_a_run_is_passed_on() -> None:
    assert RunRequest().arguments() == []
    request = RunRequest(workflow="fast", stf_count=3, stf_interval=0.0)
    assert request.arguments() == ["--workflow", "fast", "--stf-count", "3", "--stf-interval", "0.0"]


def test_the_summary_is_the_last_line() -> None:
    assert summary('warming up\n{"run_number": 100010, "state": "closed"}\n')["run_number"] == 100010


@pytest.mark.parametrize("output", ["", "Traceback ...\n", "[1, 2]\n", "{}\nend\n"])
def test_output_without_a_summary_is_an_error(output: str) -> None:
    with pytest.raises(CommandError, match="no summary"):
        summary(output)


def test_steps_start_when_what_they_come_after_is_done_and_the_rest_in_parallel() -> None:
    together = threading.Barrier(2, timeout=SECONDS)

    def meet(_: threading.Event) -> str:
        together.wait()
        return "met"

    record = Record()
    run_steps(
        [
            Step("last", lambda _: "ready", after=["left", "right", "not a step"]),
            Step("left", meet),
            Step("right", meet),
        ],
        record,
    )
    assert record.seen[:2] == ["begin left", "begin right"]
    assert record.seen[-2:] == ["begin last", "ready last"]


def test_a_failed_step_gives_up_the_others() -> None:
    def fail(_: threading.Event) -> str:
        raise CommandError("no")

    def wait(give_up: threading.Event) -> str:
        assert give_up.wait(SECONDS)
        return "gave up"

    record = Record()
    with pytest.raises(CommandError, match="no"):
        run_steps([Step("long", wait), Step("bad", fail), Step("never", wait, after=["bad"])], record)
    assert record.seen == ["begin long", "begin bad", "fail bad"]


def test_supervisor_knows_every_program_and_starts_none_by_itself(supervisor: Supervisor) -> None:
    states = supervisor.states()
    assert {*system.PROGRAMS, *(kind.name for kind in CLASSES)} == set(states)
    assert {state.state for state in states.values()} == {"STOPPED"}


def test_a_broker_that_is_away_elsewhere_is_in_the_status(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ACTIVEMQ_HOST", "127.0.0.1:1")
    state = system.inspect(supervisor.home)
    [broker] = [one for one in state.engines if one.elsewhere]
    assert (broker.name, broker.ready, broker.elsewhere) == ("activemq", False, "127.0.0.1:1")
    assert not state.ready
    assert main(["status-local"]) == 1
    # The last column may go on in the next line.
    row = capsys.readouterr().out.partition("\nactivemq ")[2]
    assert row.split()[0] == "elsewhere"
    assert "refused" in row


@pytest.mark.parametrize("command", ["start-local", "run", "demo"])
def test_the_bus_of_a_running_testbed_cannot_be_changed(
    supervisor: Supervisor, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command, "--bus", "rabbitmq"]) == 1
    assert "runs on the bus pgmq; to change it, stop it: swf-testbed stop-local" in capsys.readouterr().err
    assert chosen_bus(supervisor.home.directory) == "pgmq"


def test_a_bus_that_is_not_installed_is_not_chosen(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(home.directory))
    for bus in ("activemq", "rabbitmq"):
        assert main(["start-local", "--bus", bus]) == 1
        message = capsys.readouterr().err
        assert "Install: apt-get install --no-install-recommends" in message
        assert "Traceback" not in message
    assert chosen_bus(home.directory) == "pgmq"


def test_the_users_own_broker_outranks_the_option(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ACTIVEMQ_HOST", "broker.example.org")
    assert main(["start-local", "--bus", "pgmq"]) == 1
    assert "ACTIVEMQ_HOST names a broker of your own" in capsys.readouterr().err


def test_only_the_demo_shows_its_pages_to_anybody(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str | None] = []
    monkeypatch.setattr(app, "_start", lambda *_: started.append(os.environ.get("SWF_ANONYMOUS_READ")))
    monkeypatch.setattr(app, "follow_run", lambda *_: 0)
    monkeypatch.setattr(app, "_stop", lambda *_: None)
    assert main(["start-local"]) == main(["demo", "--stop"]) == 0
    monkeypatch.setenv("SWF_ANONYMOUS_READ", "false")
    assert main(["demo", "--stop"]) == 0
    assert started == [None, "true", "false"]


def test_strays_of_a_killed_supervisor_are_found_and_ended(supervisor: Supervisor) -> None:
    directory = supervisor.home.directory
    stray = subprocess.Popen(["sleep", "60"], env={**os.environ, processes.MARK: str(directory)})
    for pid, command in processes.marked(directory).items():
        if "supervisord" in command:
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + SECONDS
    while supervisor.is_running():
        assert time.monotonic() < deadline
    assert list(system.stop(supervisor.home)) == [stray.pid]
    assert stray.wait(SECONDS) == -signal.SIGTERM


def test_a_taken_port_is_said_before_anything_starts(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("SWF_WEB_PORT", str(port))
        assert main(["start-local"]) == 1
    assert f"port {port} is taken" in capsys.readouterr().err
    assert main(["stop-local"]) == 0


def test_of_a_traceback_only_the_error_is_told() -> None:
    output = 'Traceback ...\n  File "a.py", line 1, in b\n    c()\n    ^^^\nKeyError: 1\n\tno 1\n'
    assert system.last_words(output) == "KeyError: 1\n\tno 1"
    assert system.last_words("one\ntwo\n") == "one\ntwo"


@pytest.mark.services
def test_a_program_that_cannot_start_is_told_with_the_end_of_its_log(
    supervisor: Supervisor, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL finds a file where its data directory should be."""
    monkeypatch.setenv(
        "SWF_TRANSFER", "posix"
    )  # no other engine starts beside it, and none can fail before it
    data = supervisor.home.directory / "postgres"
    data.write_text("in the way")
    assert main(["start-local"]) == 1
    message = capsys.readouterr().err
    assert "postgres did not come up" in message
    assert f"End of {supervisor.home.log / 'postgres.log'}" in message
    assert "Traceback" not in message
