"""What an STF file looks like, byte by byte: `header | TF payloads | index`. All numbers are little-endian.

The header is first and of fixed size, so one range request finds everything else. The index is last because
it holds the checksums of the payloads, which a writer in one pass knows only then; the header says where.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from crc32c import crc32c

MAGIC = b"EPIC-STF"
VERSION = 1

# The names of the fields are those of docs/stf-container.md, in its order; the CRC-32C covers all before it.
HEADER = struct.Struct("<8sHHIQQQqqQQQ16s16sH10xI")
HEADER_BYTES = HEADER.size
CRC_BYTES = 4

INDEX_ENTRY = np.dtype([("tf", "<u8"), ("offset", "<u8"), ("length", "<u4"), ("crc", "<u4")])
HIT = np.dtype(
    [
        ("detector", "u1"),  # see detectors.py
        ("reserved", "u1"),  # 0
        ("adc", "<u2"),
        ("channel", "<u4"),  # within the detector
        ("time", "<u4"),  # ns since the start of the TF
    ]
)

# A TF spans 2^16 bunch crossings, at 98.5 MHz 665 339 ns, and is not aligned to the 1260 bunches of the ring.
CROSSINGS_PER_TF = 65_536
BUNCHES = 1260
TF_NS = 665_339

STATE_BYTES = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ContainerError(ValueError):
    """Something is wrong with an STF file or a request for one; names the file, the field and the value."""

    def __init__(self, file: str, field: str, value: object, why: str) -> None:
        super().__init__(f"{file}: {field} = {value!r}: {why}")
        self.file = file
        self.field = field
        self.value = value


class NotAContainerError(ContainerError):
    """Wrong magic, or a version this code does not know."""


class TruncatedError(ContainerError):
    """The file ends before the bytes it promises."""


class CorruptError(ContainerError):
    """A CRC-32C does not match: header, index, or one TF."""


class UnknownTfError(ContainerError):
    """This TF is not in this file."""


class BadSpecError(ContainerError):
    """The STF that was asked for cannot be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StfHeader:
    """The first 128 bytes. Times are ns since 1970 UTC, offsets and lengths are bytes."""

    run_number: int
    sequence: int
    tf_first: int
    tf_count: int
    begin_ns: int
    end_ns: int
    seed: int
    index_offset: int
    index_bytes: int
    state: str
    substate: str

    @property
    def begin(self) -> datetime:
        """When the first TF began (rounded down to microseconds)."""
        return _EPOCH + timedelta(microseconds=self.begin_ns // 1000)

    @property
    def end(self) -> datetime:
        """When the last TF ended (rounded down to microseconds)."""
        return _EPOCH + timedelta(microseconds=self.end_ns // 1000)

    def pack(self) -> bytes:
        """The header as bytes, its CRC included."""
        body = HEADER.pack(
            MAGIC,
            VERSION,
            HEADER_BYTES,
            self.tf_count,
            self.run_number,
            self.sequence,
            self.tf_first,
            self.begin_ns,
            self.end_ns,
            self.seed,
            self.index_offset,
            self.index_bytes,
            self.state.encode("ascii"),
            self.substate.encode("ascii"),
            HIT.itemsize,
            0,
        )[:-CRC_BYTES]
        return with_crc(body)


def unpack_header(data: bytes, file: str) -> StfHeader:
    """Check and decode the first 128 bytes of `file`.

    Raises:
        TruncatedError, NotAContainerError, CorruptError: in this order of checks.
    """
    if len(data) < HEADER_BYTES:
        raise TruncatedError(file, "header", f"{len(data)} bytes", f"a header has {HEADER_BYTES} bytes")
    magic, version, header_bytes, *fields, hit_bytes, _ = HEADER.unpack(data[:HEADER_BYTES])
    if magic != MAGIC:
        raise NotAContainerError(file, "magic", magic, f"an STF file begins with {MAGIC!r}")
    check_crc(data[:HEADER_BYTES], file, "header")
    for field, value, known in (
        ("version", version, VERSION),
        ("header_bytes", header_bytes, HEADER_BYTES),
        ("hit_bytes", hit_bytes, HIT.itemsize),
    ):
        if value != known:
            raise NotAContainerError(file, field, value, f"this reader knows {known}")
    tf_count, run_number, sequence, tf_first, begin_ns, end_ns, seed, index_offset, index_bytes, *names = (
        fields
    )
    state, substate = (name.rstrip(b"\0").decode("ascii") for name in names)
    return StfHeader(
        run_number=run_number,
        sequence=sequence,
        tf_first=tf_first,
        tf_count=tf_count,
        begin_ns=begin_ns,
        end_ns=end_ns,
        seed=seed,
        index_offset=index_offset,
        index_bytes=index_bytes,
        state=state,
        substate=substate,
    )


def index_bytes(tf_count: int) -> int:
    """Size of an index with its CRC."""
    return tf_count * INDEX_ENTRY.itemsize + CRC_BYTES


def with_crc(body: bytes) -> bytes:
    """The bytes followed by their CRC-32C."""
    return body + crc32c(body).to_bytes(CRC_BYTES, "little")


def check_crc(data: bytes, file: str, field: str) -> None:
    """Compare the last four bytes with the CRC-32C of all before; raises `CorruptError`."""
    stored = int.from_bytes(data[-CRC_BYTES:], "little")
    computed = crc32c(data[:-CRC_BYTES])
    if stored != computed:
        raise CorruptError(file, f"{field} CRC-32C", f"{stored:08x}", f"the bytes read have {computed:08x}")


def to_ns(moment: datetime) -> int:
    """Nanoseconds since 1970 UTC, exact; the moment must know its time zone."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
