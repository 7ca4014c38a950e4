"""A command of the user's that processes a slice: run without a shell, in a directory of its own, for a limited time."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

_MOST_OUTPUT_BYTES = 1_000_000
_LONGEST_LINE = 300
# Without what the worker sets for itself.
_ENVIRONMENT = dict(os.environ)


class CommandFailed(OSError):
    """The command did not end well, or what it wrote is no result; the text says why."""


def run_command(
    command: str, url: str, first: int, last: int, *, timeout: float, scratch: Path | None = None
) -> dict[str, Any]:
    """Run the command on TFs `first` to `last` of the TF file at `url`.

    Args:
        command: its words, in which %IN stands for the TF file (a path or root:// URL), %FIRST and %LAST for the TF
            numbers, both inclusive, and %OUT for a file in which it may leave a JSON object.
        timeout: seconds until it is killed, with all that it has started.
        scratch: where its directory is made; without, where the system keeps temporary files.

    Returns:
        The object it left, or none.

    Raises:
        CommandFailed: it is no command line, cannot be started, failed, took too long, or left something else.
    """
    with tempfile.TemporaryDirectory(prefix="swf-slice-", dir=scratch) as directory:
        out = Path(directory, "out.json")
        values = {"%IN": url, "%FIRST": str(first), "%LAST": str(last), "%OUT": str(out)}
        errors = Path(directory, "stderr")
        status = _run([_filled(word, values) for word in _words(command)], errors, timeout)
        if status:
            raise CommandFailed(f"the command {_ending(status)}: {_last_line(errors) or 'it said nothing'}")
        return _result(out)


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise CommandFailed(f"fastproc.slice_payload is no command line: {error}") from None
    if not words:
        raise CommandFailed("fastproc.slice_payload is empty")
    return words


def _filled(word: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(name, value)
    return word


def _run(words: list[str], errors: Path, timeout: float) -> int:
    # The command must not outlive a worker that is killed, and a worker has threads: so no `preexec_fn`.
    mortal = ["setpriv", "--pdeathsig", "KILL", "--", *words]
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            mortal,
            cwd=errors.parent,
            env={**_ENVIRONMENT, "TMPDIR": str(errors.parent)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            process_group=0,
        )
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"the command did not end in {timeout:g} s and was killed") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _ending(status: int) -> str:
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"exited with {status}"


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:_LONGEST_LINE]


def _result(out: Path) -> dict[str, Any]:
    if not out.exists():
        return {}
    if out.stat().st_size > _MOST_OUTPUT_BYTES:
        raise CommandFailed(f"the command left more than {_MOST_OUTPUT_BYTES} bytes in %OUT")
    try:
        found = json.loads(out.read_bytes())
    except ValueError as error:
        raise CommandFailed(f"what the command left in %OUT is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise CommandFailed(f"the command left no JSON object in %OUT but {type(found).__name__}")
    return found
