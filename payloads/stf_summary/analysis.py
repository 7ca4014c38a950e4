"""The numbers: hits, clusters and ADC spectra of the time frames, added up block by block.

A cluster is a chain of hits of one detector in one TF: ordered in time, each comes at most `GAP_NS` after the one before
it. So a lone hit is a cluster, and hits of one bunch crossing and the next are together.

An ADC spectrum has 256 bins over the range of the widest ADC in its group of detectors; what lies beyond is counted in
the last bin.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from apps.stf.container.detectors import DETECTORS
from apps.stf.container.format import HIT, ContainerError
from apps.stf.container.reader import StfReader

I64 = npt.NDArray[np.int64]
Hits = npt.NDArray[Any]

GAP_NS = 20
SPECTRUM_BINS = 256
# A block of hits and its temporaries stay in a core's second-level cache.
BLOCK_HITS = 32_768

DETECTOR_NAMES = tuple(detector.name for detector in DETECTORS)
GROUPS = tuple(dict.fromkeys(detector.group for detector in DETECTORS))
# ADC range of each group, a power of two.
RANGES = tuple(2 ** max(one.adc_bits for one in DETECTORS if one.group == group) for group in GROUPS)

_GROUP = np.array([GROUPS.index(detector.group) for detector in DETECTORS], np.uint32)
_SHIFT = np.array([(RANGES[group] // SPECTRUM_BINS).bit_length() - 1 for group in _GROUP], np.uint32)
# A time is of 32 bits; the 33rd keeps the last hit of one detector away from the first of the next.
_TIME_BITS, _DETECTOR_BITS = np.uint64(33), np.uint64(8)


class Totals:
    """What has been found so far, in all inputs together.

    Attributes:
        hits: per detector, in the order of `DETECTORS`.
        clusters: the same for clusters.
        spectra: array (groups, 256), the ADC spectra.
    """

    def __init__(self) -> None:
        self.hits: I64 = np.zeros(len(DETECTORS), np.int64)
        self.clusters: I64 = np.zeros(len(DETECTORS), np.int64)
        self.spectra: I64 = np.zeros((len(GROUPS), SPECTRUM_BINS), np.int64)
        self._rows: list[tuple[I64, I64, I64]] = []

    def add(self, stf: StfReader) -> None:
        """Read all time frames of an open STF, checking each, and add them.

        Raises:
            ContainerError: a time frame is damaged, or names a detector that does not exist.
            OSError: from the file.
        """
        for tfs, counts, hits in _blocks(stf):
            if len(hits) and (highest := int(hits["detector"].max())) >= len(DETECTORS):
                raise ContainerError(
                    stf.name,
                    "detector",
                    highest,
                    f"in TF {tfs[0]} to {tfs[-1]}: the last is {len(DETECTORS) - 1}",
                )
            self._add_block(tfs, counts, hits)

    def rows(self) -> dict[str, I64]:
        """One row per time frame: its number, hits and clusters."""
        columns = zip(*self._rows, strict=True) if self._rows else ([], [], [])
        empty = np.zeros(0, np.int64)
        return {
            name: np.concatenate([empty, *parts])
            for name, parts in zip(("tf", "hits", "clusters"), columns, strict=True)
        }

    def _add_block(self, tfs: I64, counts: I64, hits: Hits) -> None:
        detector = hits["detector"]
        self.hits += np.bincount(detector, minlength=len(DETECTORS))
        bins = np.minimum(hits["adc"] >> _SHIFT.take(detector), SPECTRUM_BINS - 1)
        bins += _GROUP.take(detector) * np.uint32(SPECTRUM_BINS)
        self.spectra += np.bincount(bins, minlength=self.spectra.size).reshape(self.spectra.shape)
        first = _first_hits(np.repeat(np.arange(len(tfs), dtype=np.uint64), counts), detector, hits["time"])
        self.clusters += np.bincount(first & np.int64(0xFF), minlength=len(DETECTORS))
        self._rows.append((tfs, counts, np.bincount(first >> np.int64(8), minlength=len(tfs))))


def _first_hits(row: npt.NDArray[np.uint64], detector: Hits, time: Hits) -> I64:
    """Of the first hit of every cluster: row of its TF and its detector, packed as row * 256 + detector."""
    keys = ((row << _DETECTOR_BITS | detector) << _TIME_BITS) | time
    keys.sort()
    begins = np.ones(len(keys), bool)
    begins[1:] = np.diff(keys) > GAP_NS
    return (keys[begins] >> _TIME_BITS).astype(np.int64)


def _blocks(stf: StfReader) -> Iterator[tuple[I64, I64, Hits]]:
    """TF numbers, hits in each, and the hits of some time frames together: a few, or one if that is large."""
    numbers: list[int] = []
    parts: list[Hits] = []
    waiting = 0
    for tf, hits in stf:
        numbers.append(tf)
        parts.append(hits)
        waiting += len(hits)
        if waiting >= BLOCK_HITS:
            yield _block(numbers, parts)
            numbers, parts, waiting = [], [], 0
    if numbers:
        yield _block(numbers, parts)


def _block(numbers: list[int], parts: list[Hits]) -> tuple[I64, I64, Hits]:
    counts = np.array([len(part) for part in parts], np.int64)
    # As plain bytes: numpy copies records field by field.
    hits = np.concatenate([part.view(np.uint8) for part in parts]).view(HIT)
    return np.array(numbers, np.int64), counts, hits
