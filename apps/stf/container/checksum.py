"""adler32 as Rucio and XRootD write it: eight hexadecimal digits."""

from __future__ import annotations

import os
from pathlib import Path

from isal.isal_zlib import adler32

BLOCK_BYTES = 4 * 1024 * 1024


def adler32_hex(value: int) -> str:
    """The usual spelling, with leading zeros."""
    return f"{value:08x}"


def adler32_file(path: Path) -> str:
    """adler32 of a whole file, read in blocks of 4 MiB at most."""
    value = 1
    with path.open("rb", buffering=0) as file:
        # To clear 4 MiB takes longer than to read a small file.
        size = os.fstat(file.fileno()).st_size
        block = memoryview(bytearray(min(BLOCK_BYTES, size + 1)))
        while count := file.readinto(block):
            value = adler32(block[:count], value)
    return adler32_hex(value)
