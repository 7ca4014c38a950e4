"""The contract of an engine: what every folder under `services/` offers.

An engine is a server that the testbed can bring itself (PostgreSQL, Rucio, XRootD). The command line,
the demo, supervisor and the tests use the same four verbs and rely on nothing else:

* `environment()`  what a client needs to reach it, as environment variables; known before it is started
* `run()`          prepare what is missing, then become the server in the foreground (supervisor's program)
* `ready()`        None when it answers, else the reason in words a person understands
* `start()`, `stop()`  the same program as a child of the caller, for tests and benchmarks
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, NoReturn

REPOSITORY = Path(__file__).resolve().parent.parent
STOP_SECONDS = 20.0


class EngineError(RuntimeError):
    """An engine could not be prepared, started or stopped; the text says why and what to do."""


def default_home() -> Path:
    """Where all state lives: `SWF_HOME`, else `var/` in the repository."""
    return Path(os.environ.get("SWF_HOME") or REPOSITORY / "var").resolve()


class Engine(ABC):
    """One engine with all its state under `<home>/<name>`."""

    name: ClassVar[str]
    # The variable by which a user names another server of this kind; it is one of `environment()`.
    selected_by: ClassVar[str]
    start_seconds: ClassVar[float] = 120.0
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, home: Path | None = None) -> None:
        self.home = home or default_home()
        self.directory = self.home / self.name
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """Where `start()` sends the server's output."""
        return self.home / "log" / f"{self.name}.log"

    def embedded(self) -> bool:
        """Whether this installation runs the engine itself: nobody has named another one in `selected_by`."""
        return os.environ.get(self.selected_by, "") in ("", self.environment()[self.selected_by])

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Variables by which clients reach this engine. Works before the first start and never blocks."""

    def missing(self) -> str | None:
        """What this machine lacks to run it, with the command that installs it; None when nothing is missing."""
        return None

    @abstractmethod
    def run(self) -> NoReturn:
        """Prepare what is missing (idempotent) and become the server, in the foreground."""

    @abstractmethod
    def ready(self) -> str | None:
        """None when the engine answers a real request; otherwise the reason, in one line. At most 5 s."""

    def start(self) -> None:
        """Start the engine as a child process and wait until it is ready.

        Raises:
            EngineError: it exited or was not ready in `start_seconds`; the text carries the end of its log.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services", "run", self.name],
                cwd=REPOSITORY,
                env={**os.environ, "SWF_HOME": str(self.home)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_ready()

    def wait_ready(self) -> None:
        """Poll `ready()` until it says yes, the child exits, or `start_seconds` pass."""
        deadline = time.monotonic() + self.start_seconds
        while (reason := self.ready()) is not None:
            exited = self._process is not None and self._process.poll() is not None
            if exited or time.monotonic() > deadline:
                why = "exited" if exited else f"was not ready in {self.start_seconds:.0f} s ({reason})"
                raise EngineError(f"{self.name} {why}; end of {self.log}:\n{self.log_tail()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Ask the child to end, wait, and kill its group if it does not."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(self.stop_signal)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._process = None

    @property
    def pid(self) -> int | None:
        """Process id of the child made by `start()`, None when there is none."""
        return self._process.pid if self._process else None

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the log, or a word that there is none."""
        if not self.log.exists():
            return "(no log yet)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
