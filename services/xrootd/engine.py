"""XRootD as an engine of the testbed: several servers in one program, used where the system has XRootD installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from services.base import Engine, EngineError
from services.ports import LOOPBACK, is_free, port
from services.privileges import as_server_user, server_user
from services.storage import E0, FASTMON, STORES, storage_root

PROGRAMS = ("xrootd", "xrdcp", "xrdfs")
INSTALL = "apt-get install --no-install-recommends xrootd-server xrootd-server-plugins xrootd-client"
ANSWER_SECONDS = 3
LINGER_SECONDS = 5.0
# A Unix socket's path has room for 107 bytes, and XRootD adds some of its own.
LONGEST_ADMIN_PATH = 85

# XRootD cannot bind to one address: it listens on all and lets nobody in but this machine. `dnr`, though the names of
# addresses interest nobody: without it a client is known now as localhost, now as 127.0.0.1, and a third-party copy
# whose two ends disagree on that waits for its authorization until it expires. No `persist`: its log is locked, and a
# copy that outlives a killed server would hold the lock against the next one.
CONFIGURATION = """\
all.role server
xrd.port {port}
xrd.network dnr
xrd.allow host 127.0.0.1
xrd.allow host localhost
all.export /
oss.localroot {root}
all.adminpath {admin}
all.pidpath {admin}
ofs.tpc ttl 10 20 xfr 16 pgm {pull}
ofs.chkpnt disable
ofs.persist off
xrootd.chksum max 2 adler32
xrootd.async off
"""

# What a destination runs to fetch a file. The client grants the copy at the source while this starts. If the fetching
# comes first, XRootD 5.5 lets it wait until the grant expires, and the copy fails: so the client gets a lead, which
# costs nothing, since it looks for the result only after 2.5 s.
PULL = """\
#!/bin/sh
sleep 1
exec {xrdcp} --server "$@"
"""


class XRootD(Engine):
    """The XRootD servers of all RSEs, over the very directories that POSIX copies use, and one of the TF files."""

    name = "xrootd"
    selected_by = "SWF_TRANSFER"

    def embedded(self) -> bool:
        """Whether copies go by XRootD: `SWF_TRANSFER` is `xrootd`, or `auto` (the default) and it is installed.

        Raises:
            EngineError: `SWF_TRANSFER` has no meaning, or asks for what is not installed.
        """
        choice = os.environ.get(self.selected_by) or "auto"
        if choice not in ("auto", "xrootd", "posix"):
            raise EngineError(f"SWF_TRANSFER={choice}: must be auto, xrootd or posix")
        missing = [program for program in PROGRAMS if shutil.which(program) is None]
        if choice == "xrootd" and missing:
            raise EngineError(f"SWF_TRANSFER=xrootd, but {', '.join(missing)} not found. Install: {INSTALL}")
        return choice != "posix" and not missing

    def port(self, store: str) -> int:
        """TCP port of the server of `store`."""
        return port(self.home, f"{self.name}-{store}")

    def url(self, store: str) -> str:
        """Root of the storage of `store`; append a path relative to its directory."""
        return f"root://{LOOPBACK}:{self.port(store)}//"

    def environment(self) -> dict[str, str]:
        """`SWF_TRANSFER`, as decided, and the URLs of the exit buffer and of the TF files for remote readers."""
        return {
            "SWF_TRANSFER": "xrootd",
            "SWF_E0_XROOTD": self.url(E0),
            "SWF_FASTMON_XROOTD": self.url(FASTMON),
        }

    def run(self) -> NoReturn:
        """Run the servers until one of them ends or this process is told to.

        Raises:
            EngineError: a port is taken, or a server ended by itself; the others have been stopped.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _leave)
        self._wait_for_ports()
        servers: dict[int, tuple[str, subprocess.Popen[bytes]]] = {}
        try:
            for store in STORES:
                server = subprocess.Popen(self._command(store), cwd="/", stdin=subprocess.DEVNULL)
                servers[server.pid] = store, server
            pid, status = os.wait()
            store, _ = servers.pop(pid)
            raise EngineError(f"the server of {store} ended with {os.waitstatus_to_exitcode(status)}")
        finally:
            for _, server in servers.values():
                server.terminate()
            for _, server in servers.values():
                server.wait()

    def ready(self) -> str | None:
        """None when all servers answer."""
        for store in STORES:
            try:
                asked = subprocess.run(
                    ["xrdfs", f"{LOOPBACK}:{self.port(store)}", "stat", "/"],
                    env={**os.environ, "XRD_CONNECTIONWINDOW": "1", "XRD_CONNECTIONRETRY": "1"},
                    capture_output=True,
                    text=True,
                    timeout=ANSWER_SECONDS,
                    check=False,
                )
            except (subprocess.TimeoutExpired, FileNotFoundError) as error:
                return f"{store}: {error}"
            if asked.returncode != 0:
                return f"{store}: {' '.join(asked.stderr.split())}"
        return None

    def _wait_for_ports(self) -> None:
        """Let the servers of a killed predecessor end, which are killed with it but not in the same instant."""
        deadline = time.monotonic() + LINGER_SECONDS
        while taken := [self.port(store) for store in STORES if not is_free(self.port(store))]:
            if time.monotonic() > deadline:
                raise EngineError(
                    f"ports {taken} are taken: is XRootD running already? If another program has them,"
                    f" remove them from {self.home / 'ports.json'} to have others chosen"
                )
            time.sleep(0.1)

    def _command(self, store: str) -> list[str]:
        """Write the server's configuration and say how to start it."""
        folder, root = self.directory / store, storage_root(self.home, store)
        admin = folder / "admin"
        if len(os.fsencode(admin)) > LONGEST_ADMIN_PATH:
            raise EngineError(
                f"{admin} is too long for XRootD's sockets: take a shorter SWF_HOME, or SWF_TRANSFER=posix"
            )
        for directory in (admin, root):
            directory.mkdir(parents=True, exist_ok=True)
        user = server_user()
        os.chown(admin, user.pw_uid, user.pw_gid)
        configuration = folder / "xrootd.cfg"
        pull = folder / "pull"
        pull.write_text(PULL.format(xrdcp=_program("xrdcp")))
        pull.chmod(0o755)
        configuration.write_text(
            CONFIGURATION.format(port=self.port(store), root=root, admin=admin, pull=pull)
        )
        # The files belong to whoever runs the testbed; as root's, they could not be written by the servers' user.
        prefix = as_server_user([root, configuration], write=True, die_with_parent=True)
        return [*prefix, str(_program("xrootd")), "-c", str(configuration), "-I", "v4"]


def _program(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise EngineError(f"{name} not found. Install: {INSTALL}; or set SWF_TRANSFER=posix")
    return Path(found)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(0)
