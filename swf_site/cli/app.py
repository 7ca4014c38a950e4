"""The commands: options, words and exit status. The work is done by the modules beside this one."""

from __future__ import annotations

import getpass
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.base import EngineError
from services.bus import Bus
from services.variables import VariableError
from swf_site.cli import compose, system
from swf_site.cli.demo import DEMO_WORKFLOW, RunRequest, follow_run, follow_run_json, manage
from swf_site.cli.display import StepDisplay, show_containers, show_status
from swf_site.cli.errors import CommandError
from swf_site.cli.fastmon import Client, print_once, watch
from swf_site.cli.home import Home, current_home
from swf_site.cli.supervisor import Supervisor

INTERRUPTED = 130
ANONYMOUS_READ = "SWF_ANONYMOUS_READ"

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)
app = typer.Typer(
    help="The SWF testbed on one machine: from the DAQ exit buffer to verified and processed copies at both sites.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

StfCount = Annotated[int | None, typer.Option("--stf-count", min=1, help="STFs to take in the whole run.")]
StfSize = Annotated[int | None, typer.Option("--stf-size", min=1, help="Bytes per STF.")]
StfInterval = Annotated[float | None, typer.Option("--stf-interval", min=0, help="Seconds from STF to STF.")]
FromDir = Annotated[
    Path | None,
    typer.Option(
        "--from-dir",
        exists=True,
        file_okay=False,
        resolve_path=True,
        help="Take the files of this directory as the STFs of the run.",
    ),
]
BusChoice = Annotated[
    Bus | None,
    typer.Option(
        "--bus",
        help="What carries the messages: queues in PostgreSQL, an ActiveMQ or a RabbitMQ of the testbed's own."
        " Kept until another is chosen, which is possible while the testbed is stopped.",
        show_default="as before, at first pgmq",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]


@app.command()
def init(
    *, dev: Annotated[bool, typer.Option("--dev", help="Also install what tests and linters need.")] = False
) -> None:
    """Make the state directory with its secrets. The other commands do it by themselves."""
    home = current_home()
    home.prepare()
    out.print(f"State directory: {home.directory}" + ("; test tools installed" if dev else ""))


@app.command("start-local")
def start_local(bus: BusChoice = None) -> None:
    """Start what is not running: the engines (database, bus, Rucio, xrootd, PanDA, pilots), web server, relay, agents."""
    home = current_home()
    _start(home, bus)
    _say_where(home)


@app.command("stop-local")
def stop_local() -> None:
    """Stop everything and wait until nothing is left."""
    _stop(current_home())


@app.command("status-local")
def status_local(*, as_json: AsJson = False) -> None:
    """Show each process and each engine, and why one is not ready. Exit status 0 only if all are."""
    state = system.inspect(current_home())
    if as_json:
        out.print_json(json.dumps(state.as_dict()), indent=None)
    else:
        show_status(out, state)
    raise typer.Exit(0 if state.ready else 1)


@app.command()
def start() -> None:
    """Start everything in containers with docker compose: build the image, bring all up, wait until it is healthy."""
    compose.start(current_home())
    out.print("State: swf-testbed status    Stop: swf-testbed stop")


@app.command()
def stop() -> None:
    """Stop and remove the containers. Their data stays in docker's volumes."""
    compose.stop()


@app.command()
def status(*, as_json: AsJson = False) -> None:
    """Show each container and its health. Exit status 0 only if all are as they should be."""
    found = compose.status()
    if as_json:
        out.print_json(json.dumps(compose.as_dict(found)), indent=None)
    else:
        show_containers(out, found)
    raise typer.Exit(0 if compose.all_fine(found) else 1)


@app.command()
def run(
    workflow: Annotated[str | None, typer.Argument(help="A TOML file, or its name in workflows/.")] = None,
    stf_count: StfCount = None,
    stf_size: StfSize = None,
    stf_interval: StfInterval = None,
    from_dir: FromDir = None,
    bus: BusChoice = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Take a run in the running system and follow it. Exit status 0 only if it closes."""
    home = current_home()
    if not Supervisor(home).is_running():
        raise CommandError("the testbed is not running; start it: swf-testbed start-local")
    system.select_bus(home, bus)
    request = RunRequest(workflow, stf_count, stf_size, stf_interval, from_dir)
    manage(home, "start_run", "--follow", *["--json"] * as_json, *request.arguments())


@app.command()
def demo(
    stf_count: StfCount = None,
    stf_size: StfSize = None,
    stf_interval: StfInterval = None,
    from_dir: FromDir = None,
    bus: BusChoice = None,
    *,
    as_json: AsJson = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop everything at the end.")] = False,
) -> None:
    """Set up, start, take one run, show its result; the system stays up. Exit status 0 only if it closes."""
    home = current_home()
    request = RunRequest(DEMO_WORKFLOW, stf_count, stf_size, stf_interval, from_dir)
    # What it shows is made up, and there is no user yet who could log in.
    os.environ.setdefault(ANONYMOUS_READ, "true")
    with _interruptible(home):
        _start(home, bus)
        try:
            found, status = follow_run_json(home, request) if as_json else ({}, follow_run(home, request))
        except CommandError:
            if stop:
                _stop(home)
            raise
    if stop:
        _stop(home)
    elif not as_json:
        _say_where(home)
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
    raise typer.Exit(status)


@app.command("agent-manager")
def agent_manager(
    user: Annotated[
        str | None, typer.Option("--user", help="Whose queue to serve.", show_default="your login name")
    ] = None,
) -> None:
    """Obey the commands that come over ActiveMQ, until SIGTERM or Ctrl-C.

    Send JSON to [bold]/queue/agent_control.USER[/bold]; who has the broker's login may:

    [bold]{"command": "status", "reply_to": "/queue/answers"}[/bold]

    The answer goes to reply_to, a queue or topic. The commands:

    - start_testbed: start what is not running

    - stop_testbed: stop agents, relay and web server; not the engines, as the broker is one

    - restart: both

    - status: how each program and engine is

    - ping: whether somebody listens

    While the broker is away it waits.
    """
    from swf_site.cli.manager import AgentManager  # the other commands do without kombu

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    AgentManager(current_home(), getpass.getuser() if user is None else user).run()


@app.command()
def fastmon(
    run_number: Annotated[
        int | None, typer.Option("--run", help="Which run.", show_default="the newest")
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", help="Address of a remote testbed.", show_default="this one")
    ] = None,
    token: Annotated[
        str, typer.Option("--token", envvar="SWF_API_TOKEN", help="API token, where not everybody may read.")
    ] = "",
    *,
    once: Annotated[bool, typer.Option("--once", help="Print it once and leave.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what fast monitoring counts in a run: rates, latency, hits by detector. Live, until Ctrl-C."""
    client = Client(current_home().dashboard if url is None else url, token)
    if once or as_json:
        print_once(out, client, run_number, as_json=as_json)
        return
    try:
        watch(out, client, run_number)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


@app.command()
def worker(
    worker_id: Annotated[
        str | None,
        typer.Option("--worker-id", help="Its name.", show_default="host, process id and a random part"),
    ] = None,
    idle_timeout: Annotated[
        float | None,
        typer.Option("--idle-timeout", min=0, help="Leave after so many seconds without a slice."),
    ] = None,
    max_slices: Annotated[
        int | None, typer.Option("--max-slices", min=1, help="Leave after so many slices.")
    ] = None,
    payload_timeout: Annotated[
        float | None,
        typer.Option(
            "--payload-timeout",
            min=0,
            help="Seconds that fastproc.slice_payload may take for a slice.",
            show_default="3600",
        ),
    ] = None,
    *,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print a line about each slice.")] = False,
) -> None:
    """Process slices of the fast path, one at a time, until Ctrl-C, SIGTERM or the end of the runs.

    The testbed starts workers by itself where [bold]fastproc.workers[/bold] is "local". This command adds one.

    A worker that is killed loses nothing: its slice is given to another one.

    On another machine it needs a checkout of this version, the broker and the data, but no database:

    - [bold]ACTIVEMQ_HOST, ACTIVEMQ_PORT, ACTIVEMQ_USER, ACTIVEMQ_PASSWORD[/bold], or [bold]BROKER_URL[/bold]

    - [bold]SWF_NAMESPACE[/bold] and [bold]SWF_NAMESPACES[/bold], as the testbed has them

    - the TF files: under the same paths, by a shared file system

    It prints how far it is, at most every 10 s; each slice with --verbose; in the end a line of JSON: worker_id, done,
    failed, seconds, and the reason for which it left. Exit status 0, whatever became of the slices.
    """
    given = {
        "--worker-id": worker_id,
        "--idle-timeout": idle_timeout,
        "--max-slices": max_slices,
        "--payload-timeout": payload_timeout,
    }
    words = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    home = current_home()
    home.prepare()
    manage(home, "worker", *words, *["--verbose"] * verbose)


@app.command(
    "manage",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def manage_command(context: typer.Context) -> None:
    """Run a Django management command with the testbed's settings: swf-testbed manage help"""
    manage(current_home(), *context.args)


def main(arguments: Sequence[str]) -> int:
    """Obey the command line; the return value is the exit status."""
    try:
        app(args=list(arguments), prog_name="swf-testbed", standalone_mode=True)
    except (CommandError, EngineError, VariableError) as error:
        err.print(f"swf-testbed: {error}", markup=False)
        return 1
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1
    return 0


def _start(home: Home, bus: Bus | None) -> None:
    home.prepare()
    with _interruptible(home), home.lock(_say_waiting), StepDisplay(err) as display:
        system.select_bus(home, bus)
        system.start(home, display)


def _stop(home: Home) -> None:
    if home.exists():
        with home.lock(_say_waiting), err.status("Stopping"):
            strays = system.stop(home)
        for pid, command in strays.items():
            err.print(f"Ended a stray that no supervisor looked after: {pid} {command}", markup=False)
    err.print("Stopped. Nothing is running.")


def _say_waiting() -> None:
    err.print("Another call is starting or stopping this system: waiting for it")


def _say_where(home: Home) -> None:
    out.print(f"Dashboard: [link={home.dashboard}]{home.dashboard}[/link]")
    if system.needs_login(home):
        out.print(
            "It is for users: swf-testbed manage createsuperuser makes the first."
            f" Stopped, and started with {ANONYMOUS_READ}=true, it is for anybody who reaches it."
        )
    out.print("State: swf-testbed status-local    Stop: swf-testbed stop-local")


@contextmanager
def _interruptible(home: Home) -> Iterator[None]:
    """Ctrl-C leaves the system running, and says so."""
    try:
        yield
    except KeyboardInterrupt:
        err.print("\nInterrupted; what was started keeps running, a run in progress goes on.")
        _say_where(home)
        raise typer.Exit(INTERRUPTED) from None
