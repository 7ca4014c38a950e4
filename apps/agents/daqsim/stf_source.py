"""Where the STFs of a run come from: simulated ones, or the files of a directory. Both land in the exit buffer alike."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from django.conf import settings
from isal.isal_zlib import adler32

from apps.runs.errors import FieldRefused, RetryableError
from apps.runs.models import Run
from apps.stf.container.writer import StfSpec, write_stf

# 2^16 bunch crossings at 98.5 MHz.
TF_DURATION = timedelta(microseconds=665)
BLOCK_BYTES = 4 << 20
# Of a streamed file's own name; run, sequence and the suffix of a file in the making must fit before and after it.
LONGEST_NAME = 180


class StfSource(Protocol):
    """Makes the STF files of a run, each the same whenever it is made."""

    @property
    def total(self) -> int | None:
        """How many STFs there are in all; None when as many as are wanted."""
        ...

    def make(self, sequence: int) -> dict[str, Any]:
        """Write the file of this sequence into the exit buffer; the fields of its `stf_gen`, without the state.

        Raises:
            RetryableError: the exit buffer does not take it.
        """
        ...


def stf_source(run: Run) -> StfSource:
    """The source that the run's parameters name."""
    stf = run.parameters["stf"]
    if stf["from_dir"]:
        return FileSource(run, [Path(stf["from_dir"]) / name for name in stf["files"]])
    return SimulatedSource(run)


def buffer_directory(run: Run) -> Path:
    """The run's directory in the exit buffer."""
    directory: Path = settings.SWF_E0_BUFFER / str(run.run_number)
    return directory


def clean_up(run: Run) -> None:
    """Make the run's directory, and remove what a killed DAQ left half-written in it."""
    directory = buffer_directory(run)
    directory.mkdir(parents=True, exist_ok=True)
    for leftover in directory.glob(".*.part"):
        leftover.unlink(missing_ok=True)


class SimulatedSource:
    """STF containers with simulated hits. Data time runs from the run's start, so a file made twice is the same file."""

    total: int | None = None

    def __init__(self, run: Run) -> None:
        self._run = run
        self._parameters = run.parameters["stf"]
        self._start: datetime = run.requested_at

    def make(self, sequence: int) -> dict[str, Any]:
        tf_count: int = self._parameters["tf_count"]
        begin = self._start + (sequence - 1) * tf_count * TF_DURATION
        path = buffer_directory(self._run) / f"swf.{self._run.run_number}.{sequence:06d}.stf"
        spec = StfSpec(
            run_number=self._run.run_number,
            sequence=sequence,
            tf_first=(sequence - 1) * tf_count,
            tf_count=tf_count,
            state="run",
            substate="physics",
            begin=begin,
            end=begin + tf_count * TF_DURATION,
            size_bytes=self._parameters["size_bytes"],
            seed=self._parameters["seed"],
        )
        try:
            written = write_stf(path, spec)
        except OSError as error:
            raise _buffer_refuses(path, error) from error
        return {
            "filename": path.name,
            "sequence": sequence,
            "file_url": str(path),
            "size_bytes": written.size_bytes,
            "checksum": written.adler32,
            "tf_first": written.tf_first,
            "tf_count": written.tf_count,
            "start": spec.begin.isoformat(),
            "end": spec.end.isoformat(),
        }


class FileSource:
    """Files as the STFs of a run, in the order given; whatever their format, their bytes stay as they are."""

    def __init__(self, run: Run, files: Sequence[Path]) -> None:
        self._run = run
        self._files = files
        self.total: int | None = len(files)

    def make(self, sequence: int) -> dict[str, Any]:
        source = self._files[sequence - 1]
        # Names live for ever in Rucio: the run and sequence make that of a file streamed twice unique.
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", source.name)[-LONGEST_NAME:]
        path = buffer_directory(self._run) / f"swf.{self._run.run_number}.{sequence:06d}.{plain}"
        try:
            size, checksum = _copy(source, path)
        except OSError as error:
            raise _buffer_refuses(path, error) from error
        return {
            "filename": path.name,
            "sequence": sequence,
            "file_url": str(path),
            "size_bytes": size,
            "checksum": checksum,
        }


def files_to_stream(directory: Path) -> list[str]:
    """The names of the regular files of a directory, in order; hidden ones are left out.

    Raises:
        FieldRefused: it is no directory that can be read.
    """
    try:
        return sorted(
            path.name for path in directory.iterdir() if path.is_file() and not path.name.startswith(".")
        )
    except OSError as error:
        raise FieldRefused("stf.from_dir", f"{str(directory)!r} cannot be read: {error.strerror}") from error


def _copy(source: Path, target: Path) -> tuple[int, str]:
    """Copy under a temporary name, then rename; size and adler32 of the bytes that were written."""
    partial = target.with_name(f".{target.name}.{uuid4().hex}.part")
    size, value = 0, 1
    with source.open("rb") as reader, partial.open("wb") as writer:
        while block := reader.read(BLOCK_BYTES):
            writer.write(block)
            size += len(block)
            value = adler32(block, value)
        writer.flush()
        os.fsync(writer.fileno())
    partial.replace(target)
    return size, f"{value:08x}"


def _buffer_refuses(path: Path, error: OSError) -> RetryableError:
    what = ": ".join(str(part) for part in (error.strerror or error, error.filename) if part)
    return RetryableError(f"the exit buffer does not take {path.name}: {what}")
