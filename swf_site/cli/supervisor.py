"""Supervisor, the one parent of all processes: started here, then asked by XML-RPC over its Unix socket."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from xmlrpc.client import Fault, ServerProxy

from supervisor.xmlrpc import Faults, SupervisorTransport

from services.base import REPOSITORY
from swf_site.cli.errors import CommandError
from swf_site.cli.home import Home
from swf_site.cli.processes import MARK

CONFIGURATION = REPOSITORY / "supervisord.conf"
LAUNCH_SECONDS = 60.0
SHUTDOWN_SECONDS = 90.0
POLL_SECONDS = 0.05
STOPPED_STATES = frozenset({"STOPPED", "EXITED", "FATAL"})


@dataclass(frozen=True)
class ProcessState:
    """One program as supervisor sees it; `pid` and `uptime` (s) are None unless it runs."""

    name: str
    state: str
    pid: int | None
    uptime: int | None
    ended_at: int
    problem: str | None

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        """From supervisor's `getProcessInfo`."""
        state, running = answer["statename"], answer["pid"] != 0
        problem = None
        if state in ("BACKOFF", "EXITED", "FATAL"):
            problem = answer["spawnerr"] or f"ended with status {answer['exitstatus']}"
        return cls(
            name=answer["name"],
            state=state,
            pid=answer["pid"] if running else None,
            uptime=answer["now"] - answer["start"] if running else None,
            ended_at=answer["stop"],
            problem=problem,
        )


class Supervisor:
    """The supervisor of one home. Safe to use from several threads: every call is a connection of its own."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def is_running(self) -> bool:
        """Whether it answers on its socket."""
        try:
            self._call("getState")
        except (FileNotFoundError, ConnectionError):
            return False
        return True

    def launch(self) -> None:
        """Start it as a daemon with the composed environment, and wait until it answers.

        Raises:
            CommandError: it did not come up; the text has what it said.
        """
        user = ["-u", str(os.getuid())]  # without it supervisor warns root about itself
        done = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(CONFIGURATION), *user],
            cwd=REPOSITORY,
            env={**self.home.environment(), MARK: str(self.home.directory)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        deadline = time.monotonic() + LAUNCH_SECONDS
        while done.returncode == 0 and time.monotonic() < deadline:
            if self.is_running():
                return
            time.sleep(POLL_SECONDS)
        raise CommandError(
            f"supervisor did not start: {(done.stderr + done.stdout).strip() or 'no answer'}"
            f"\nLog: {self.home.log / 'supervisord.log'}"
        )

    def states(self) -> dict[str, ProcessState]:
        """Every program's state by name, in the configuration's order; empty if supervisor is away."""
        try:
            answers = self._call("getAllProcessInfo")
        except (FileNotFoundError, ConnectionError):
            return {}
        return {answer["name"]: ProcessState.of(answer) for answer in answers}

    def state(self, name: str) -> ProcessState:
        """One program's state."""
        return ProcessState.of(self._call("getProcessInfo", name))

    def start(self, name: str) -> bool:
        """Ask for a program's start and return at once; False if it runs already.

        Raises:
            CommandError: there is nothing to execute.
        """
        if self.state(name).state == "BACKOFF":
            self.stop([name])  # a user who asks now does not wait for the next of ever rarer tries
        try:
            self._call("startProcess", name, False)  # noqa: FBT003 - do not wait
        except Fault as fault:
            if fault.faultCode == Faults.ALREADY_STARTED:
                return False
            raise CommandError(f"{name}: {fault.faultString}") from fault
        return True

    def stop(self, names: Iterable[str]) -> None:
        """Stop programs, all at once, and wait until the last has ended."""
        waiting = set(names)
        for name in waiting:
            try:
                self._call("stopProcess", name, False)  # noqa: FBT003 - do not wait
            except Fault as fault:
                if fault.faultCode != Faults.NOT_RUNNING:
                    raise CommandError(f"{name}: {fault.faultString}") from fault
        while waiting:
            states = self.states()
            waiting = {
                name for name in waiting if name in states and states[name].state not in STOPPED_STATES
            }
            time.sleep(POLL_SECONDS if waiting else 0)

    def shutdown(self) -> None:
        """End supervisor itself, with whatever still runs under it.

        Raises:
            CommandError: it still lives after `SHUTDOWN_SECONDS`.
        """
        process = Path("/proc", str(self._call("getPID")))
        self._call("shutdown")
        deadline = time.monotonic() + SHUTDOWN_SECONDS
        while process.exists():
            if time.monotonic() > deadline:
                raise CommandError(f"supervisor did not end; log: {self.home.log / 'supervisord.log'}")
            time.sleep(POLL_SECONDS)

    def _call(self, method: str, *arguments: object) -> Any:
        transport = SupervisorTransport(serverurl=f"unix://{self.home.socket}")
        with ServerProxy("http://localhost", transport=transport) as proxy:
            try:
                return getattr(proxy.supervisor, method)(*arguments)
            except http.client.HTTPException as error:  # it went away between the question and the answer
                raise ConnectionError(str(error)) from error
