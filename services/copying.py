"""One copy, verified at both ends: the bytes as read at the source and as read back at the destination.

A destination gets its final name only when both agree with the catalogue and the bytes are on disk. An error
says whose fault it is; it travels through Rucio's catalogue to whoever asks why a file is missing.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

CHUNK = 4 << 20


class CopyError(Exception):
    """The copy was not made; nothing is left under the destination's name that was not there before."""


def copy_file(
    source: Path,
    target: Path,
    draft: Path,
    size: int,
    adler32: str,
    each: Callable[[], None] | None = None,
) -> None:
    """Copy `source` to `target` by way of `draft`, a free path on the target's file system.

    Args:
        size: bytes that the catalogue expects.
        adler32: checksum that the catalogue expects, 8 hexadecimal digits.
        each: called before each chunk of 4 MiB that is copied or read back; what it raises ends the copy.

    Raises:
        CopyError: source missing or altered, destination not writable or different when read back.
    """
    try:
        with _open_source(source) as reader:
            _write_draft(reader, draft, (size, adler32), each)
        _make_directory(target.parent)
        draft.replace(target)
        _sync_directory(target.parent)
    except OSError as error:
        raise CopyError(f"destination not written: {error}") from error
    finally:
        with contextlib.suppress(OSError):  # it is gone after a success, and a failure has its own words
            draft.unlink()


def pump(
    reader: IO[bytes], writer: IO[bytes] | None, each: Callable[[], None] | None = None
) -> tuple[int, str]:
    """Read to the end, writing as well if asked to: number of bytes and their adler32.

    Args:
        each: called before each chunk of 4 MiB; what it raises ends the copy.
    """
    count, checksum = 0, 1
    while chunk := reader.read(CHUNK):
        if each is not None:
            each()
        if writer is not None:
            writer.write(chunk)
        count += len(chunk)
        checksum = zlib.adler32(chunk, checksum)
    return count, f"{checksum:08x}"


def compare(fault: str, found: tuple[int, str], expected: tuple[int, str]) -> None:
    """Raise a CopyError that begins with `fault` unless size (bytes) and adler32 are as expected."""
    if found[0] != expected[0]:
        raise CopyError(f"{fault}: {found[0]} bytes, expected {expected[0]}")
    if found[1] != expected[1]:
        raise CopyError(f"{fault}: adler32 {found[1]}, expected {expected[1]}")


def _write_draft(
    reader: IO[bytes], draft: Path, expected: tuple[int, str], each: Callable[[], None] | None
) -> None:
    _make_directory(draft.parent)
    with draft.open("w+b") as writer:
        compare("source file altered", pump(reader, writer, each), expected)
        writer.flush()
        os.fsync(writer.fileno())
        # What is read back shall come from the disk, not from the memory that was just written.
        os.posix_fadvise(writer.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        writer.seek(0)
        compare("destination damaged in writing", pump(writer, None, each), expected)


def _open_source(source: Path) -> IO[bytes]:
    try:
        return source.open("rb")
    except FileNotFoundError:
        raise CopyError(f"source file missing: {source}") from None
    except OSError as error:
        raise CopyError(f"source file unreadable: {error}") from error


def _make_directory(path: Path) -> None:
    """Like `mkdir -p`, but a new directory's name is on disk as well."""
    if path.is_dir():
        return
    _make_directory(path.parent)
    path.mkdir(exist_ok=True)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
