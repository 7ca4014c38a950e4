"""Finding the file of an announced STF in the exit buffer, with what its producer left unsaid."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from apps.runs.errors import DomainError
from apps.stf.container.checksum import adler32_file

from ..bus.schemas import StfGen


@dataclass(frozen=True)
class AnnouncedFile:
    """Where the STF lies, its size in bytes and its adler32 in 8 hexadecimal digits."""

    file_url: str
    size_bytes: int
    checksum: str


def announced_file(message: StfGen) -> AnnouncedFile:
    """The file that the message is about; its size and checksum as said, or else as they are.

    Raises:
        DomainError: it is not in the exit buffer, or cannot be read when it has to be.
    """
    path = Path(message.file_url) if message.file_url else _found(message)
    # What is announced here is deleted one day: nobody shall make the DAQ delete a file that is not its own.
    if not _is_within(path, settings.SWF_E0_BUFFER):
        raise DomainError(
            f"stf_gen: file_url {str(path)!r} is not in the exit buffer, {settings.SWF_E0_BUFFER}"
        )
    try:
        size = path.stat().st_size if message.size_bytes is None else message.size_bytes
        checksum = message.checksum or adler32_file(path)
    except OSError as error:
        raise DomainError(f"stf_gen: {path} cannot be read: {error.strerror}") from error
    return AnnouncedFile(str(path), size, checksum)


def _is_within(path: Path, directory: Path) -> bool:
    """Whether it lies there really, whatever links lead to it. Said of each STF: `Path` would take thrice the time."""
    return os.path.realpath(path).startswith(os.path.realpath(directory) + os.sep)


def _found(message: StfGen) -> Path:
    """Where producers that do not say it put their files: in a directory of the run, of its dataset, or in none."""
    buffer: Path = settings.SWF_E0_BUFFER
    directories = (buffer / message.run_id, buffer / f"swf.{message.run_id}.run", buffer)
    for directory in directories:
        if (directory / message.filename).is_file():
            return directory / message.filename
    looked = ", ".join(str(directory) for directory in directories)
    raise DomainError(
        f"stf_gen: there is no file {message.filename!r} in the exit buffer (looked in {looked})"
    )
