"""Write a few TFs of an STF as a TF file: the format of STFs, the bytes of each TF as they were, always the same file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import numpy as np
from isal.isal_zlib import adler32

from .checksum import adler32_hex
from .format import HEADER_BYTES, INDEX_ENTRY, StfHeader, index_bytes, with_crc
from .reader import TfEntry


@dataclass(frozen=True, slots=True)
class ExcerptWritten:
    """A finished TF file: size in bytes, adler32 as 8 hexadecimal digits."""

    size_bytes: int
    adler32: str


def write_excerpt(
    path: Path, stf: StfHeader, block: tuple[int, int], tfs: Sequence[tuple[TfEntry, bytes | memoryview]]
) -> ExcerptWritten:
    """Write TFs of an STF to `path`, replacing what is there. The name appears when the file is complete.

    It is not waited for until it is on the disk: the file serves for a minute, and can be made again.

    Args:
        path: the final name; its directory must exist.
        stf: the header of the STF.
        block: numbers of the first and the last TF that were asked for; some in between may be missing.
        tfs: at least one; where it was in the STF, and its bytes.

    Raises:
        OSError: from the file system; nothing is left behind.
    """
    header, index = _described(stf, block, [entry for entry, _ in tfs])
    parts = [header.pack(), *(data for _, data in tfs), with_crc(index)]
    checksum = 1
    for part in parts:
        checksum = adler32(part, checksum)
    partial = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with partial.open("xb") as file:
            file.writelines(parts)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return ExcerptWritten(sum(map(len, parts)), adler32_hex(checksum))


def _described(stf: StfHeader, block: tuple[int, int], entries: Sequence[TfEntry]) -> tuple[StfHeader, bytes]:
    """Header and index of the TF file. Its times are those of the block, TFs being equally long."""
    first, last = block
    tf_ns = (stf.end_ns - stf.begin_ns) // stf.tf_count
    lengths = np.array([entry.length for entry in entries], np.uint64)
    ends = HEADER_BYTES + lengths.cumsum()
    index = np.zeros(len(entries), INDEX_ENTRY)
    index["tf"] = [entry.tf for entry in entries]
    index["offset"] = ends - lengths
    index["length"] = lengths
    index["crc"] = [entry.crc for entry in entries]
    header = replace(
        stf,
        tf_first=first,
        tf_count=len(entries),
        begin_ns=stf.begin_ns + (first - stf.tf_first) * tf_ns,
        end_ns=stf.begin_ns + (last - stf.tf_first + 1) * tf_ns,
        index_offset=int(ends[-1]),
        index_bytes=index_bytes(len(entries)),
    )
    return header, index.tobytes()
