"""The testbed as a whole on one machine: bring it up in the right order, take it down, say how it is."""

from __future__ import annotations

import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http import HTTPStatus

from services.base import REPOSITORY, Engine
from services.bus import BROKERS, Bus, another_broker, choose_bus, chosen_bus
from services.ports import is_free
from services.registry import engines
from swf_site.cli import processes
from swf_site.cli.elsewhere import servers
from swf_site.cli.errors import CommandError
from swf_site.cli.home import Home
from swf_site.cli.steps import Step, Watcher, run_steps
from swf_site.cli.supervisor import ProcessState, Supervisor

# The testbed's own programs, in start order; the engines' come before them.
AGENTS = ("daqsim", "data", "processing", "fastmon", "fastproc")
PROGRAMS = ("web", "relay", *AGENTS)
# Engines start at once, unless they keep their data in another one, or have nothing to do without it.
ENGINE_AFTER = {"rucio": ("postgres",), "panda": ("postgres",), "pilots": ("panda",)}
START_SECONDS = 120.0
POLL_SECONDS = 0.1
LOG_LINES = 20
# A program that ended this often while it was waited for will not come up by itself.
FAILED_STARTS = 2


@dataclass(frozen=True)
class EngineState:
    """Whether an engine answers, and the reason when it does not. `elsewhere` is where, if somebody else runs it."""

    name: str
    ready: bool
    reason: str | None
    elsewhere: str | None = None


@dataclass(frozen=True)
class SystemState:
    """What `status-local` shows."""

    supervisor: bool
    processes: list[ProcessState]
    engines: list[EngineState]
    dashboard: str | None

    @property
    def ready(self) -> bool:
        """Every process runs and every engine answers."""
        states = [process.state == "RUNNING" for process in self.processes]
        return self.supervisor and all(states) and all(engine.ready for engine in self.engines)

    def as_dict(self) -> dict[str, object]:
        """As `status-local --json` prints it."""
        return {"ready": self.ready, **asdict(self)}


def select_bus(home: Home, bus: Bus | None) -> None:
    """Make this the bus of the home, or leave it as it is.

    Raises:
        CommandError: the testbed runs on another one, or the user's environment names a broker.
        EngineError: this machine lacks what the bus needs; the text has the command that installs it.
    """
    if bus is None:
        return
    if another := another_broker(home.directory):
        raise CommandError(
            f"{another} names a broker of your own, which is used: unset it to have --bus {bus}"
        )
    before = chosen_bus(home.directory)
    if bus != before and Supervisor(home).is_running():
        raise CommandError(
            f"the testbed runs on the bus {before}; to change it, stop it: swf-testbed stop-local"
        )
    choose_bus(home.directory, bus)


def start(home: Home, watcher: Watcher) -> None:
    """Bring up what does not run in a prepared home: supervisor, engines, schema and queues, programs.

    Raises:
        CommandError: something did not come up; the text has the end of its log and where the log is.
    """
    used = engines(home.directory)
    for engine in used.values():
        if reason := engine.missing():
            raise CommandError(reason)
    supervisor = Supervisor(home)
    if not supervisor.is_running():
        processes.end(home.directory)  # what a killed supervisor left would hold the ports
        supervisor.launch()
    if supervisor.state("web").pid is None and not is_free(home.web_port):
        raise CommandError(
            f"port {home.web_port} is taken by another program: set SWF_WEB_PORT to a free one"
        )
    run_steps(start_steps(supervisor, used), watcher)


def start_steps(supervisor: Supervisor, used: dict[str, Engine]) -> list[Step]:
    """The steps of a start and what each has to wait for."""
    home = supervisor.home
    brought = [
        Step(name, _program(supervisor, name, engine.ready, engine.start_seconds), ENGINE_AFTER.get(name, ()))
        for name, engine in used.items()
    ]
    return [
        *brought,
        Step("schema", _manage(home, "prepare_database"), after=["postgres"]),
        Step("queues", _manage(home, "prepare_broker"), after=["postgres", *BROKERS]),
        Step("web", _program(supervisor, "web", lambda: web_answers(home)), after=["schema"]),
        *(
            Step(name, _program(supervisor, name), after=["schema", "queues"])
            for name in PROGRAMS
            if name != "web"
        ),
    ]


def stop(home: Home) -> dict[int, str]:
    """Stop everything, in reverse order; returns strays that had to be ended (process id -> command line)."""
    supervisor = Supervisor(home)
    if supervisor.is_running():
        supervisor.stop(PROGRAMS)
        for name in reversed(engines(home.directory)):
            supervisor.stop([name])
        supervisor.shutdown()
    return processes.end(home.directory)


def stop_programs(home: Home) -> None:
    """Stop the agents, the relay and the web server; the engines go on."""
    supervisor = Supervisor(home)
    if supervisor.is_running():
        supervisor.stop(PROGRAMS)


def inspect(home: Home) -> SystemState:
    """The state of every process and engine in use; asks each engine, which takes at most a few seconds.

    A database or a broker that is served elsewhere is asked as well.
    """
    supervisor = Supervisor(home)
    states = supervisor.states()
    if not states:
        return SystemState(supervisor=False, processes=[], engines=[], dashboard=None)
    used = engines(home.directory)
    answers = {name: engine.ready() for name, engine in used.items()}
    return SystemState(
        supervisor=True,
        processes=[states[name] for name in (*used, *PROGRAMS) if name in states],
        engines=[
            *(EngineState(name, reason is None, reason) for name, reason in answers.items()),
            *(EngineState(one.name, one.reason is None, one.reason, one.address) for one in servers(home)),
        ],
        dashboard=home.dashboard,
    )


def web_answers(home: Home) -> str | None:
    """None when the web server gives any answer but a failure of its own, else the reason."""
    try:
        status = _status_of_front_page(home)
    except (OSError, http.client.HTTPException) as error:
        return str(error)
    return None if status < 500 else f"{home.dashboard} answers {status}"


def needs_login(home: Home) -> bool:
    """Whether the web server, if it answers, shows its pages to users alone."""
    try:
        return _status_of_front_page(home) == HTTPStatus.FOUND
    except (OSError, http.client.HTTPException):
        return False


def _status_of_front_page(home: Home) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", home.web_port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


def _program(
    supervisor: Supervisor,
    name: str,
    ready: Callable[[], str | None] = lambda: None,
    seconds: float = START_SECONDS,
) -> Callable[[threading.Event], str]:
    """Start a program under supervisor; done when it runs and `ready()` has no reason left."""

    def action(give_up: threading.Event) -> str:
        was_running = not supervisor.start(name)
        deadline = time.monotonic() + seconds
        endings: set[int] = set()
        reason: str | None = "starting"
        while not give_up.wait(POLL_SECONDS if endings else 0):
            state = supervisor.state(name)
            reason = state.problem or ("starting" if state.state != "RUNNING" else ready())
            if reason is None:
                return "was running" if was_running else "ready"
            if state.problem is not None:
                endings.add(state.ended_at)
            if time.monotonic() > deadline or len(endings) > FAILED_STARTS:
                break
            time.sleep(POLL_SECONDS)
        raise CommandError(f"{name} did not come up: {reason}\n{log_end(supervisor.home, name)}")

    return action


def _manage(home: Home, *arguments: str) -> Callable[[threading.Event], str]:
    """Run a management command to its end."""

    def action(_: threading.Event) -> str:
        command = [sys.executable, str(REPOSITORY / "manage.py"), *arguments]
        done = subprocess.run(
            command,
            env=home.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            log = home.log / f"{arguments[0]}.log"
            log.write_text(done.stdout)
            raise CommandError(
                f"`manage.py {' '.join(arguments)}` failed; log: {log}\n{last_words(done.stdout)}"
            )
        return "ready"

    return action


def last_words(output: str) -> str:
    """The end of what a program said; of a traceback only the error itself."""
    lines = output.splitlines()
    frames = [number for number, line in enumerate(lines) if line.startswith('  File "')]
    if frames:
        lines = [line for line in lines[frames[-1] + 1 :] if not line.startswith("    ")]
    return "\n".join(lines[-LOG_LINES:])


def log_end(home: Home, name: str) -> str:
    """The last lines of a program's log and where it is."""
    path = home.log / f"{name}.log"
    if not path.exists():
        return f"(no log at {path})"
    return f"End of {path}:\n{last_words(path.read_text(errors='replace'))}"
