"""One copy between two XRootD servers, which pass the bytes on directly: third-party copy, verified like any other."""

from __future__ import annotations

import contextlib
import os
import subprocess
from urllib.parse import urlsplit

from services.copying import CopyError, compare, pump

# A server that is just being restarted is waited for: this often, this long (s).
PATIENCE = {"XRD_CONNECTIONRETRY": "6", "XRD_CONNECTIONWINDOW": "10"}
START_SECONDS = 120.0
SLOWEST_BYTES_PER_SECOND = 10e6


def copy_third_party(source: str, target: str, draft: str, size: int, adler32: str) -> None:
    """Have the server of `target` fetch `source`, under the name `draft` until it is verified.

    The target's server reads back what it wrote; since that has the catalogue's checksum, so had what was read at
    the source.

    Args:
        source, target: URLs, root://host:port//path.
        draft: a free path on the target's server.
        size: bytes that the catalogue expects.
        adler32: checksum that the catalogue expects, 8 hexadecimal digits.

    Raises:
        CopyError: source missing or altered, or the destination could not be written or reads back differently.
    """
    server, path = _split(target)
    command = ["xrdcp", "--tpc", "only", "--force", "--nopbar", "--cksum", f"adler32:{adler32}"]
    try:
        _run([*command, source, f"root://{server}/{draft}"], _patience(size))
        _run(["xrdfs", server, "mv", draft, path], START_SECONDS)
    except CopyError as error:
        # xrdcp leaves a bad destination behind, whatever its options promise.
        with contextlib.suppress(CopyError):
            _run(["xrdfs", server, "rm", draft], START_SECONDS)
        _blame_source(source, size, adler32)
        raise CopyError(f"destination not written: {error}") from error


def _blame_source(source: str, size: int, adler32: str) -> None:
    """Read the source through its server and raise if it is the culprit: xrdcp does not say which end differs."""
    reading = subprocess.Popen(
        ["timeout", str(_patience(size)), "xrdcp", "--silent", source, "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(),
    )
    with reading:
        read, found = pump(reading.stdout, None)
        words = reading.stderr.read().decode(errors="replace")
    if "no such file" in words:
        raise CopyError(f"source file missing: {source}")
    if reading.returncode != 0:
        raise CopyError(f"source file unreadable: {_one_line(words)}")
    compare("source file altered", (read, found), (size, adler32))


def _run(command: list[str], seconds: float) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, env=_environment(), check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CopyError(f"{command[0]} was not done after {seconds:.0f} s") from error
    if done.returncode != 0:
        raise CopyError(f"{command[0]} said {_one_line(done.stderr or done.stdout)}")


def _patience(size: int) -> float:
    """Seconds after which a copy of `size` bytes hangs rather than works."""
    return START_SECONDS + size / SLOWEST_BYTES_PER_SECOND


def _environment() -> dict[str, str]:
    return {**os.environ, **PATIENCE}


def _split(url: str) -> tuple[str, str]:
    """Server and absolute path of a root:// URL, in which the path begins with two slashes."""
    parts = urlsplit(url)
    return parts.netloc, "/" + parts.path.lstrip("/")


def _one_line(words: str) -> str:
    """What a program said, fit for a database's text: XRootD ends its words with a NUL."""
    return " ".join(words.replace("\0", " ").split())[-500:]
