"""Finding the file of an announced STF in the exit buffer, with what its producer left unsaid."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings

from apps.runs.errors import FieldRefused
from apps.stf.container.checksum import adler32_file

from ..bus.schemas import StfGen


@dataclass(frozen=True)
class AnnouncedFile:
    """Where the STF lies, its size in bytes and its adler32 in 8 hexadecimal digits."""

    file_url: str
    size_bytes: int
    checksum: str


def announced_files(messages: Iterable[StfGen]) -> list[AnnouncedFile]:
    """The files that the messages are about; their sizes and checksums as said, or else as they are.

    Raises:
        FieldRefused: one is not in the exit buffer, or cannot be read when it has to be.
    """
    # Most lie in one directory, whose way through the links is the same for all.
    really = cache(os.path.realpath)
    return [_announced_file(message, really) for message in messages]


def _announced_file(message: StfGen, really: Callable[[str], str]) -> AnnouncedFile:
    path = Path(message.file_url) if message.file_url else _found(message)
    # What is announced here is deleted one day: nobody shall make the DAQ delete a file that is not its own.
    if not _is_within(path, settings.SWF_E0_BUFFER, really):
        raise FieldRefused("file_url", f"{str(path)!r} is not in the exit buffer, {settings.SWF_E0_BUFFER}")
    try:
        size = path.stat().st_size if message.size_bytes is None else message.size_bytes
        checksum = message.checksum or adler32_file(path)
    except OSError as error:
        raise FieldRefused("filename", f"{path} cannot be read: {error.strerror}") from error
    return AnnouncedFile(str(path), size, checksum)


def _is_within(path: Path, directory: Path, really: Callable[[str], str]) -> bool:
    """Whether it lies there really, whatever links lead to it. Said of each STF: `Path` would take thrice the time."""
    above, name = os.path.split(str(path))
    is_plain = name not in ("", "..") and not path.is_symlink()
    real = f"{really(above)}{os.sep}{name}" if is_plain else os.path.realpath(path)
    return real.startswith(really(str(directory)) + os.sep)


def _found(message: StfGen) -> Path:
    """Where producers that do not say it put their files: in a directory of the run, of its dataset, or in none."""
    buffer = settings.SWF_E0_BUFFER
    directories = (f"{buffer}/{message.run_id}", f"{buffer}/swf.{message.run_id}.run", f"{buffer}")
    for directory in directories:
        path = Path(f"{directory}/{message.filename}")
        if path.is_file():
            return path
    looked = ", ".join(directories)
    raise FieldRefused(
        "filename", f"there is no file {message.filename!r} in the exit buffer (looked in {looked})"
    )
