"""Servers that refuse root (PostgreSQL, XRootD) run as a system user, for anybody else as himself."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from services.base import EngineError

SYSTEM_USER = "swf-testbed"
# Linux capabilities as bits (linux/capability.h). The first grants less; containers may have the second only.
CAPABILITIES = {"dac_read_search": 1 << 2, "dac_override": 1 << 1}


def server_user() -> pwd.struct_passwd:
    """Who runs the servers: the caller, or the system user (made when missing) if the caller is root.

    Raises:
        EngineError: the system user is missing and could not be made.
    """
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        _add_system_user()
    return pwd.getpwnam(SYSTEM_USER)


def as_server_user(reach: Iterable[Path], *, write: bool = False, die_with_parent: bool = False) -> list[str]:
    """The words to put before a command so that it runs as `server_user()`; none when that is the caller.

    Args:
        reach: paths the command must get at. When one of them lies beneath a directory closed to others
            (/root is 0700), the command keeps just the capability to pass through.
        write: the command also writes into directories of other owners.
        die_with_parent: it is killed when its parent dies, however that dies (on Linux).

    Raises:
        EngineError: `setpriv` is missing, or a capability is needed and this process has it not.
    """
    setpriv = shutil.which("setpriv")
    mortal = ["--pdeathsig", "KILL"] if die_with_parent else []
    if os.geteuid() != 0:
        return [setpriv, *mortal] if setpriv and mortal else []
    if setpriv is None:
        raise EngineError("root needs `setpriv` (package util-linux) to start a server as another user")
    user = server_user()
    words = [setpriv, *mortal, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    closed = next((path for path in reach if not _open_to_others(path)), None)
    if write or closed is not None:
        kept = "+" + _capability(closed, write=write)
        # Without this bit the change of user also takes the capability away from access(2), which initdb asks.
        words += ["--securebits", "+no_setuid_fixup", "--inh-caps", kept, "--ambient-caps", kept]
    return words


def _capability(closed: Path | None, *, write: bool) -> str:
    held = _held_capabilities()
    for name in ["dac_override"] if write else ["dac_read_search", "dac_override"]:
        if held & CAPABILITIES[name]:
            return name
    raise EngineError(
        f"user {SYSTEM_USER} cannot reach {closed or 'the storage'} and root has no capability to let it:"
        f" set SWF_HOME to a directory every user may pass through, or start as an ordinary user"
    )


def _held_capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapPrm:"):
            return int(line.split()[1], 16)
    return 0


def _open_to_others(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents if parent.exists())


def _add_system_user() -> None:
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if useradd is None:
        raise EngineError(
            f"PostgreSQL and XRootD refuse root and there is no `useradd` to make the user {SYSTEM_USER}"
            f" for them: make it by hand, or start the testbed as an ordinary user"
        )
    account = ["--system", "--user-group", "--no-create-home", "--shell=/usr/sbin/nologin", SYSTEM_USER]
    made = subprocess.run(
        [useradd, *account],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode not in (0, 9):  # 9: somebody else made it in the meantime
        raise EngineError(f"useradd {SYSTEM_USER}: {made.stderr.strip()}")
