"""Histograms of hits for fast monitoring: three quantities of every subdetector, in whole numbers.

All of them are counts that add up: the histograms of a run are the sum of those of its windows, and means are exact,
since the sums behind them are kept as well.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any, Self

import boost_histogram as bh
import numpy as np
import numpy.typing as npt

from .container.detectors import DETECTORS
from .container.format import TF_NS

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

BINS = 64
FORMAT_VERSION = 1
_HEADER = struct.Struct("<HHHH")  # version, quantities, detectors, bins
# Of counts that are mostly small the fastest level leaves a fifth; the best one a little less, in ten times the time.
_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is counted of each hit. Bins divide its range evenly, from 0 to `upper` (one number per detector)."""

    key: str
    title: str
    unit: str
    field: str  # of container.format.HIT
    upper: tuple[int, ...]


QUANTITIES: tuple[Quantity, ...] = (
    Quantity("occupancy", "Occupancy", "channel", "channel", tuple(d.channels for d in DETECTORS)),
    Quantity("adc", "ADC value", "ADC counts", "adc", tuple(2**d.adc_bits for d in DETECTORS)),
    Quantity("time", "Time in TF", "ns", "time", (TF_NS,) * len(DETECTORS)),
)
SHAPE = (len(QUANTITIES), len(DETECTORS), BINS)
_UPPER = np.array([quantity.upper for quantity in QUANTITIES], np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Histograms:
    """Counts (quantity, detector, bin), and for each detector what is behind them: `entries` (detector) are all its hits,
    those outside of the bins included, `sums` (quantity, detector) the sums of their values, in the quantity's unit.

    Detectors are in the order of their numbers. Hits of detectors that have no number here are in none of them.
    """

    counts: I64
    entries: I64
    sums: I64

    @classmethod
    def empty(cls) -> Self:
        """Of no hits."""
        quantities, detectors, _ = SHAPE
        return cls(
            np.zeros(SHAPE, np.int64),
            np.zeros(detectors, np.int64),
            np.zeros((quantities, detectors), np.int64),
        )

    def __add__(self, other: Histograms) -> Histograms:
        return Histograms(self.counts + other.counts, self.entries + other.entries, self.sums + other.sums)

    def __sub__(self, other: Histograms) -> Histograms:
        return Histograms(self.counts - other.counts, self.entries - other.entries, self.sums - other.sums)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histograms) and all(
            np.array_equal(mine, theirs) for mine, theirs in zip(self._arrays(), other._arrays(), strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def hits(self) -> int:
        """All hits."""
        return int(self.entries.sum())

    @property
    def means(self) -> F64:
        """Mean of each quantity and detector (quantity, detector), in the quantity's unit; nan where there are no hits."""
        with np.errstate(invalid="ignore"):
            means: F64 = self.sums / self.entries
        return means

    def pack(self) -> bytes:
        """As bytes, to be kept; the same histograms have the same bytes."""
        numbers = b"".join(array.astype("<i8").tobytes() for array in self._arrays())
        return _HEADER.pack(FORMAT_VERSION, *SHAPE) + zlib.compress(numbers, _LEVEL)

    def _arrays(self) -> tuple[I64, I64, I64]:
        return self.counts, self.entries, self.sums


def unpack(data: bytes) -> Histograms:
    """The histograms that `Histograms.pack` made bytes of.

    Raises:
        ValueError: they are of another version or shape.
    """
    found = _HEADER.unpack_from(data)
    if found != (FORMAT_VERSION, *SHAPE):
        raise ValueError(
            f"histograms of version and shape {found}; this program knows {(FORMAT_VERSION, *SHAPE)}"
        )
    numbers = np.frombuffer(zlib.decompress(data[_HEADER.size :]), "<i8").astype(np.int64)
    quantities, detectors, bins = SHAPE
    ends = np.cumsum([quantities * detectors * bins, detectors])
    counts, entries, sums = np.split(numbers, ends)
    return Histograms(counts.reshape(SHAPE), entries, sums.reshape(quantities, detectors))


def fill(hits: npt.NDArray[Any]) -> Histograms:
    """The histograms of hits (dtype `container.format.HIT`)."""
    detectors = hits["detector"]
    known = detectors < len(DETECTORS)
    if not known.all():
        hits, detectors = hits[known], detectors[known]
    pairs = [_filled(detectors, hits[quantity.field], row) for row, quantity in enumerate(QUANTITIES)]
    return Histograms(
        np.stack([counts for counts, _ in pairs]),
        np.bincount(detectors, minlength=len(DETECTORS)).astype(np.int64),
        np.stack([sums for _, sums in pairs]),
    )


def _filled(detectors: npt.NDArray[Any], values: npt.NDArray[Any], row: int) -> tuple[I64, I64]:
    """Counts and sums of one quantity. A value that is no multiple of a bin's width is further from the next edge than
    a double's precision, so the floating-point bins are those of exact fractions.
    """
    histogram = bh.Histogram(
        bh.axis.Integer(0, len(DETECTORS), underflow=False, overflow=False),
        # Without an overflow bin, what lies on the upper end would be in the last bin.
        bh.axis.Regular(BINS, 0.0, 1.0, underflow=False),
        storage=bh.storage.Int64(),
    )
    histogram.fill(detectors, values / _UPPER[row].take(detectors))
    sums = np.zeros(len(DETECTORS), np.int64)
    np.add.at(sums, detectors, values.astype(np.int64))
    return np.asarray(histogram.view(), np.int64), sums
