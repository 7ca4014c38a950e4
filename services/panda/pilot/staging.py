"""Files in and out: the input from the site's storage, the sandbox, the results into the storage. Each byte is checked."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from services.copying import CopyError, compare, copy_file, pump
from services.panda.pilot.catalogue import Catalogue, Replica
from services.panda.pilot.directory import JobDirectory
from services.panda.pilot.errors import Code, JobFailed
from services.panda.pilot.job import File, Job

LOG_BYTES = 1_000_000


@dataclass(frozen=True)
class Result:
    """A file that is to be stored: its name in the catalogue, and where it lies now."""

    file: File
    path: Path


def fetch(
    replicas: Mapping[str, Replica], job: Job, directory: Path, rse: str, beat: Callable[[], None]
) -> None:
    """Copy the inputs into the directory; a copy, because a payload may do with it what it likes.

    Args:
        replicas: by name, what the catalogue has at the site.
        beat: called every 4 MiB.

    Raises:
        JobFailed: a file is not at the site, or not as the catalogue has it.
    """
    for file in job.inputs:
        replica = replicas.get(file.lfn)
        if replica is None:
            raise JobFailed(f"{file.lfn} has no available replica at {rse}", Code.STAGE_IN)
        try:
            with replica.path.open("rb") as reader, inside(directory, file.lfn).open("xb") as writer:
                found = pump(reader, writer, beat)
            compare(f"{file.lfn} is damaged at {rse}", found, (replica.size, replica.adler32))
        except (OSError, CopyError) as error:
            raise JobFailed(f"input not fetched: {error}", Code.STAGE_IN) from error


def unpack(archive: bytes, directory: Path) -> None:
    """Unpack a sandbox, nothing of it outside the directory.

    Raises:
        JobFailed: it is no archive, or wants to be elsewhere.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as sandbox:
            sandbox.extractall(directory, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise JobFailed(f"the sandbox cannot be unpacked: {error}", Code.SETUP) from error


def collect(outputs: Mapping[str, str], job: Job, directory: Path) -> list[Result]:
    """The results that the payload has written.

    Raises:
        JobFailed: one is missing, empty, or no file.
    """
    names = {file.lfn: file for file in job.outputs}
    results = []
    for written, lfn in outputs.items():
        if lfn not in names:
            raise JobFailed(f"output {written}: {lfn} is none of the job's output files", Code.SETUP)
        path = inside(directory, written)
        if path.is_symlink() or not path.is_file():
            raise JobFailed(f"output {written} is missing: the payload did not write it", Code.MISSING_OUTPUT)
        if path.stat().st_size == 0:
            raise JobFailed(f"output {written} is empty", Code.MISSING_OUTPUT)
        results.append(Result(names[lfn], path))
    return results


def pack_log(job: Job, place: JobDirectory, report: dict[str, Any]) -> list[Result]:
    """The log archive: the ends of what the payload said, and the report; empty when PanDA wants none."""
    if job.log is None:
        return []
    path = place.path / "log.tgz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in (
            ("payload.stdout", _tail(place.stdout)),
            ("payload.stderr", _tail(place.stderr)),
            ("job.json", json.dumps(place.job, indent=1).encode()),
            ("report.json", json.dumps(report, indent=1).encode()),
        ):
            entry = tarfile.TarInfo(f"tarball_PandaJob_{job.panda_id}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return [Result(job.log, path)]


def store(
    results: Sequence[Result], path_of: Callable[[File], Path], beat: Callable[[], None]
) -> list[Replica]:
    """Put files into the site's storage, durably; a name appears there when its bytes are complete and read back.

    Raises:
        JobFailed: a file could not be stored.
    """
    replicas = []
    for result in results:
        beat()
        target = path_of(result.file)
        try:
            with result.path.open("rb") as reader:
                size, adler32 = pump(reader, None, beat)
            copy_file(result.path, target, draft_of(target), size, adler32, beat)
        except (OSError, CopyError) as error:
            raise JobFailed(f"{result.file.lfn} not stored: {error}", Code.STAGE_OUT) from error
        replicas.append(Replica(target, size, adler32))
    return replicas


def output_report(results: Sequence[Result], replicas: Sequence[Replica], rse: str) -> str:
    """`job_output_report` as PanDA's adder takes it."""
    return json.dumps(
        {
            result.file.lfn: {
                "guid": str(uuid4()),
                "fsize": replica.size,
                "adler32": replica.adler32,
                "surl": f"file://localhost{replica.path}",
                "endpoint": [rse],
            }
            for result, replica in zip(results, replicas, strict=True)
        }
    )


def discard(catalogue: Catalogue, files: Sequence[File]) -> None:
    """Take back what a job has stored under these names, complete or not; nothing there is fine.

    Raises:
        Away: Rucio does not answer.
        Refused: it refuses; the files are still there then.
    """
    catalogue.withdraw(files)
    for file in files:
        path = catalogue.path(file)
        path.unlink(missing_ok=True)
        draft_of(path).unlink(missing_ok=True)


def inside(directory: Path, name: str) -> Path:
    """The path of this name in the directory.

    Raises:
        JobFailed: the name leads out of it.
    """
    path = directory / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise JobFailed(f"{name!r} is not within the job's directory", Code.SETUP)
    return path


def draft_of(target: Path) -> Path:
    """Where a file lies while it is being stored."""
    return target.with_name(f".{target.name}.part")


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES))
            return file.read()
    except OSError:
        return b""
