"""Where the testbed keeps its state, and the variables by which its processes find it and each other."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.base import default_home
from services.ports import port
from services.registry import compose_environment
from services.remembered import write_private
from swf_site.cli.errors import CommandError

# When the launcher began (Unix time): only for the process it became.
SETUP_STARTED = "SWF_SETUP_STARTED"
# A Unix socket's path ends at 107 bytes; supervisor binds it under a name that is a process id longer.
SOCKET_PATH_BYTES = 96


@dataclass(frozen=True)
class Home:
    """One state directory and what follows from its place."""

    directory: Path

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def socket(self) -> Path:
        """Supervisor's socket: in the home, or in a short private directory if that path is too long."""
        inside = self.directory / "supervisor.sock"
        if len(os.fsencode(inside)) <= SOCKET_PATH_BYTES:
            return inside
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:12]
        return Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp") / f"swf-{os.getuid()}-{digest}" / "sock"  # noqa: S108

    @property
    def web_port(self) -> int:
        """`SWF_WEB_PORT`, else a free port chosen once for this home.

        Raises:
            CommandError: `SWF_WEB_PORT` is not a port number.
        """
        given = os.environ.get("SWF_WEB_PORT")
        if given is None:
            return port(self.directory, "web")
        if not given.isdigit() or not 0 < int(given) < 65536:
            raise CommandError(f"SWF_WEB_PORT={given!r} is not a port number (1 to 65535)")
        return int(given)

    @property
    def dashboard(self) -> str:
        return f"http://127.0.0.1:{self.web_port}/"

    def exists(self) -> bool:
        return (self.directory / "secret-key").exists()

    def prepare(self) -> None:
        """Make the directory, private to this user, with the secret key and the log directory. Idempotent.

        Raises:
            CommandError: the directory cannot be made or belongs to somebody else.
        """
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.log.mkdir(exist_ok=True)
            if not self.exists():
                write_private(self.directory / "secret-key", secrets.token_urlsafe(50) + "\n")
        except OSError as error:
            raise CommandError(
                f"{self.directory} cannot hold the testbed's state: {error.strerror}."
                f" Set SWF_HOME to a directory of your own: export SWF_HOME=~/swf-home"
            ) from error
        if self.socket.parent != self.directory:
            _make_private(self.socket.parent)

    @contextmanager
    def lock(self, waiting: Callable[[], None]) -> Iterator[None]:
        """One start or stop at a time; `waiting()` is called when another has to be waited for."""
        with (self.directory / "start.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def environment(self) -> dict[str, str]:
        """This process's variables with those of the engines, for every process of the testbed."""
        inherited = {name: value for name, value in os.environ.items() if name != SETUP_STARTED}
        return {
            **inherited,
            **compose_environment(self.directory),
            "SWF_WEB_PORT": str(self.web_port),
            "SWF_SUPERVISOR_SOCKET": str(self.socket),
        }


def current_home() -> Home:
    """The home that `SWF_HOME` names, else `var/` in the checkout."""
    return Home(default_home())


def _make_private(directory: Path) -> None:
    """A directory nobody else can enter; in /tmp somebody else may have made it first.

    Raises:
        CommandError: it is not ours alone.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise CommandError(f"{directory} is not private to this user: remove it, or shorten SWF_HOME")
