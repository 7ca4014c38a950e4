"""Run a payload: a shell command in its own process group, under limits, watched until it ends or has to."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.panda.pilot.errors import Code, JobFailed
from services.panda.pilot.processes import kill_marked, mortal

MARK = "SWF_PILOT_JOB"
MB = 1_000_000
# Payloads take what archiving, the DAQ and the pages leave.
NICENESS = 19
LOOK_SECONDS = 0.25
WEIGH_SECONDS = 2.0
TAIL_BYTES = 4096
LONGEST_LINE = 300


@dataclass(frozen=True)
class Limits:
    """What a payload may take; 0 is no limit."""

    memory_mb: int
    disk_mb: int
    wall_seconds: int


@dataclass(frozen=True)
class Place:
    """Where a payload runs and what it finds there.

    Attributes:
        directory: its working directory.
        whole: the directory whose size counts, `directory` and the two logs in it.
        stdout, stderr: what it says goes there.
        environment: additions to its environment.
    """

    directory: Path
    whole: Path
    stdout: Path
    stderr: Path
    environment: Mapping[str, str]


def run(command: str, place: Place, limits: Limits, beat: Callable[[], None]) -> None:
    """Run the command to its end.

    Args:
        beat: called about four times a second; what it raises ends the payload.

    Raises:
        JobFailed: it did not end well, or took more than its limits; the text says which.
    """
    with place.stdout.open("wb") as stdout, place.stderr.open("wb") as stderr:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=place.directory,
            env=_environment(place),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            # No session: Linux shares the processor among sessions first, and being nice counts within one only.
            process_group=0,
            preexec_fn=mortal(os.getpid(), lambda: _restrict(limits)),
        )
    try:
        _watch(process, place, limits, beat)
    finally:
        _end(process, place)
    _judge(process.returncode, place, limits)


def last_line(path: Path) -> str:
    """The last line with something in it, of a file that may be long or absent."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:LONGEST_LINE]


def weigh(directory: Path) -> int:
    """Bytes of all files under a directory; what vanishes meanwhile does not count."""
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            try:
                total += Path(parent, name).lstat().st_size
            except OSError:
                continue
    return total


def _watch(process: subprocess.Popen[bytes], place: Place, limits: Limits, beat: Callable[[], None]) -> None:
    begin = time.monotonic()
    weighed = begin
    descriptor = os.pidfd_open(process.pid)
    try:
        while not select.select([descriptor], [], [], LOOK_SECONDS)[0]:
            now = time.monotonic()
            if limits.wall_seconds and now - begin > limits.wall_seconds:
                raise JobFailed(
                    f"the payload did not end in {limits.wall_seconds} s and was killed", Code.TIME
                )
            if now - weighed > WEIGH_SECONDS:
                _check_size(place, limits)
                weighed = now
            beat()
    finally:
        os.close(descriptor)


def _end(process: subprocess.Popen[bytes], place: Place) -> None:
    """Nothing of the payload goes on, whether it has ended by itself or not."""
    # Not yet reaped, so that nobody else can have the number of the group.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kill_marked(mark_of(place.whole))  # what has left the group


def _judge(status: int, place: Place, limits: Limits) -> None:
    """Raise unless the payload has ended well."""
    _check_size(place, limits)
    line = last_line(place.stderr) or last_line(place.stdout) or "it said nothing"
    if status > 0:
        if limits.memory_mb and line.startswith(("MemoryError", "numpy._core._exceptions._ArrayMemoryError")):
            raise JobFailed(
                f"the payload wanted more memory than its {limits.memory_mb} MB: {line}",
                Code.OUT_OF_MEMORY,
                status,
            )
        raise JobFailed(f"the payload exited with {status}: {line}", status=status)
    if status < 0:
        # The shell's convention, because PanDA knows no negative status.
        name = signal.Signals(-status).name
        raise JobFailed(f"the payload was ended by {name}: {line}", status=128 - status)


def _check_size(place: Place, limits: Limits) -> None:
    if limits.disk_mb and (size := weigh(place.whole)) > limits.disk_mb * MB:
        raise JobFailed(
            f"the payload wrote too much: its directory has {size / MB:.1f} MB, allowed are {limits.disk_mb} MB",
            Code.TOO_MUCH_WRITTEN,
        )


def _restrict(limits: Limits) -> None:
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if limits.memory_mb:
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory_mb * MB, limits.memory_mb * MB))
    if limits.disk_mb:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits.disk_mb * MB, limits.disk_mb * MB))


def mark_of(whole: Path) -> str:
    """What every process of the job in this directory has in its environment."""
    return f"{MARK}={whole}"


def _environment(place: Place) -> dict[str, str]:
    """No variable of the pilot's own: they hold the logins of PanDA and Rucio."""
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    return {
        "PATH": path,
        "HOME": str(place.directory),
        "TMPDIR": str(place.directory),
        "LANG": "C.UTF-8",
        # The pilot's directory is removed at the end, so what Python compiles would be of no use.
        "PYTHONDONTWRITEBYTECODE": "1",
        MARK: str(place.whole),
        **place.environment,
    }
