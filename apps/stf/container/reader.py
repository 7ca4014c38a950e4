"""Read an STF file by ranges: header, index, then only the TFs that are wanted.

    with StfReader(Path("swf.102345.000001.stf")) as stf:
        hits = stf.read_tf(stf.header.tf_first)       # numpy array of format.HIT

The source may be a local path or anything with `read_at(offset, length)`, such as an open XRootD file. To
fetch many TFs in one vector read, ask `entry(tf)` for the ranges and hand the bytes to `decode(tf, data)`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
from crc32c import crc32c

from .format import (
    CRC_BYTES,
    HEADER_BYTES,
    HIT,
    INDEX_ENTRY,
    ContainerError,
    CorruptError,
    StfHeader,
    TruncatedError,
    UnknownTfError,
    check_crc,
    index_bytes,
    unpack_header,
)


class RangeSource(Protocol):
    """Where bytes come from; a range beyond the end gives fewer bytes, not an error."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""


class LocalFile:
    """A file on this machine as a `RangeSource`."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""
        return os.pread(self._descriptor, length, offset)

    def close(self) -> None:
        """Give the file descriptor back."""
        os.close(self._descriptor)


@dataclass(frozen=True, slots=True)
class TfEntry:
    """Where one TF lies in the file, and the CRC-32C of its bytes."""

    tf: int
    offset: int
    length: int
    crc: int


class StfReader:
    """One open STF file. Opening it costs two range requests and checks header and index."""

    def __init__(self, source: Path | RangeSource, name: str | None = None) -> None:
        """Read header and index.

        Args:
            source: a local path, opened and closed here, or a `RangeSource`, which stays the caller's.
            name: what errors call the file; by default the path.

        Raises:
            ContainerError: `NotAContainerError`, `TruncatedError` or `CorruptError`.
            OSError: from the source.
        """
        self.name = name or str(source)
        with ExitStack() as on_error:
            if isinstance(source, Path):
                source = LocalFile(source)
                on_error.callback(source.close)
            self._source: RangeSource = source
            self.header: StfHeader = unpack_header(source.read_at(0, HEADER_BYTES), self.name)
            self._index = self._read_index()
            self._positions: dict[int, int] = {tf: row for row, tf in enumerate(self._index["tf"].tolist())}
            self._closing = on_error.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file if this reader opened it."""
        self._closing.close()

    def __len__(self) -> int:
        return len(self._index)

    def tf_numbers(self) -> list[int]:
        """The TFs in the file, ascending."""
        return list(self._positions)

    def entry(self, tf: int) -> TfEntry:
        """Where this TF lies; raises `UnknownTfError`."""
        if tf not in self._positions:
            numbers = self.tf_numbers()
            raise UnknownTfError(self.name, "TF", tf, f"the file holds {numbers[0]} to {numbers[-1]}")
        return TfEntry(*self._index[self._positions[tf]].tolist())

    def read_tf(self, tf: int) -> npt.NDArray[Any]:
        """The hits of one TF (dtype `HIT`), checked; raises like `entry` and `decode`."""
        entry = self.entry(tf)
        return self.decode(tf, self._source.read_at(entry.offset, entry.length))

    def decode(self, tf: int, data: bytes | memoryview) -> npt.NDArray[Any]:
        """Check the bytes of one TF, however they were fetched, and view them as hits (dtype `HIT`).

        Raises:
            TruncatedError, CorruptError: fewer bytes than the index says, or other ones than were written.
        """
        entry = self.entry(tf)
        if len(data) != entry.length:
            raise TruncatedError(
                self.name, f"TF {tf}", f"{len(data)} bytes", f"the index says {entry.length}"
            )
        if (computed := crc32c(data)) != entry.crc:
            raise CorruptError(
                self.name, f"TF {tf} CRC-32C", f"{entry.crc:08x}", f"the bytes read have {computed:08x}"
            )
        return np.frombuffer(data, HIT)

    def __iter__(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """All TFs in order, one range request each."""
        for tf in self.tf_numbers():
            yield tf, self.read_tf(tf)

    def _read_index(self) -> npt.NDArray[Any]:
        header = self.header
        if header.tf_count == 0 or header.index_bytes != index_bytes(header.tf_count):
            raise ContainerError(
                self.name, "index_bytes", header.index_bytes, f"does not fit to {header.tf_count} TFs"
            )
        data = self._source.read_at(header.index_offset, header.index_bytes)
        if len(data) != header.index_bytes:
            raise TruncatedError(
                self.name,
                "index",
                f"{len(data)} bytes",
                f"the header promises {header.index_bytes} bytes at offset {header.index_offset}",
            )
        check_crc(data, self.name, "index")
        return np.frombuffer(data[:-CRC_BYTES], INDEX_ENTRY)
