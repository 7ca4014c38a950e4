"""Write an STF file in one pass: bytes, size and adler32 together, in memory for one block of hits.

The name appears only when the file is complete: everything goes to a temporary name in the same directory,
which is then renamed. A process that is killed leaves a hidden `.part` file and never half an STF.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO
from uuid import uuid4

import numpy as np
from crc32c import crc32c
from isal.isal_zlib import adler32

from .checksum import adler32_hex
from .content import I64, StfIdentity, hit_blocks, hit_counts
from .format import (
    HEADER_BYTES,
    HIT,
    INDEX_ENTRY,
    STATE_BYTES,
    BadSpecError,
    StfHeader,
    index_bytes,
    to_ns,
    with_crc,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StfSpec:
    """The STF to write; the size is reached to within one hit (12 bytes), times must know their zone."""

    run_number: int
    sequence: int
    tf_first: int
    tf_count: int
    state: str
    substate: str
    begin: datetime
    end: datetime
    size_bytes: int
    seed: int

    def __post_init__(self) -> None:
        for field in ("run_number", "sequence", "tf_first", "seed"):
            value = getattr(self, field)
            if not 0 <= value < 2**63:
                raise BadSpecError("STF", field, value, "should be between 0 and 2^63 - 1")
        if not 1 <= self.tf_count <= 65_536:
            raise BadSpecError("STF", "tf_count", self.tf_count, "should be between 1 and 65536")
        for field in ("state", "substate"):
            value = getattr(self, field)
            if not value.isascii() or len(value) > STATE_BYTES:
                raise BadSpecError("STF", field, value, f"should be at most {STATE_BYTES} ASCII characters")
        for field in ("begin", "end"):
            value = getattr(self, field)
            if value.tzinfo is None:
                raise BadSpecError("STF", field, value, "should have a time zone")
        if self.end < self.begin:
            raise BadSpecError("STF", "end", self.end, f"is before begin, {self.begin}")

    @property
    def identity(self) -> StfIdentity:
        """The part that decides the hits, for `expected_truth`."""
        return StfIdentity(
            seed=self.seed,
            run_number=self.run_number,
            sequence=self.sequence,
            size_bytes=self.size_bytes,
            tf_count=self.tf_count,
        )


@dataclass(frozen=True, slots=True)
class StfWritten:
    """What is known about a finished file without reading it again; adler32 as 8 hexadecimal digits."""

    path: Path
    size_bytes: int
    adler32: str
    tf_first: int
    tf_count: int


def write_stf(path: Path, spec: StfSpec, *, durable: bool = True) -> StfWritten:
    """Simulate an STF and write it to `path`, replacing what is there.

    Args:
        path: the final name; its directory must exist.
        spec: what to write.
        durable: wait until file and name are on the disk, so that they survive a power failure.

    Raises:
        BadSpecError: the size does not fit to the number of TFs.
        OSError: from the file system; nothing is left behind.
    """
    counts = hit_counts(spec.identity)
    partial = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with partial.open("xb") as file:
            stream = _Checked(file)
            _write(stream, spec, counts)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if durable:
        _sync_directory(path.parent)
    return StfWritten(path, stream.size, adler32_hex(stream.adler32), spec.tf_first, spec.tf_count)


class _Checked:
    """A file being written, its size and its adler32 so far."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size = 0
        self.adler32 = 1

    def write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self.size += len(data)
        self.adler32 = adler32(data, self.adler32)


def _write(stream: _Checked, spec: StfSpec, counts: I64) -> None:
    index = np.zeros(spec.tf_count, INDEX_ENTRY)
    lengths = counts.sum(axis=1) * HIT.itemsize
    ends = HEADER_BYTES + lengths.cumsum()
    index["tf"] = np.arange(spec.tf_first, spec.tf_first + spec.tf_count, dtype=np.uint64)
    index["offset"] = ends - lengths
    index["length"] = lengths
    stream.write(
        StfHeader(
            run_number=spec.run_number,
            sequence=spec.sequence,
            tf_first=spec.tf_first,
            tf_count=spec.tf_count,
            begin_ns=to_ns(spec.begin),
            end_ns=to_ns(spec.end),
            seed=spec.seed,
            index_offset=int(ends[-1]),
            index_bytes=index_bytes(spec.tf_count),
            state=spec.state,
            substate=spec.substate,
        ).pack()
    )
    for tfs, hits in hit_blocks(spec.identity, spec.tf_first, counts):
        payload = hits.view(np.uint8).data
        index["crc"][tfs] = _tf_crcs(payload, lengths[tfs].tolist())
        stream.write(payload)
    stream.write(with_crc(index.tobytes()))


def _tf_crcs(payload: memoryview, lengths: list[int]) -> list[int]:
    crcs = []
    start = 0
    for length in lengths:
        crcs.append(crc32c(payload[start : start + length]))
        start += length
    return crcs


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
