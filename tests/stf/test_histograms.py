"""Histograms are exact: they are what counting with whole numbers gives, and parts add up to the whole."""

from __future__ import annotations

from fractions import Fraction
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from apps.stf.container.content import StfIdentity, hit_blocks, hit_counts
from apps.stf.container.detectors import DETECTORS
from apps.stf.container.format import HIT
from apps.stf.histograms import BINS, QUANTITIES, SHAPE, Histograms, fill, unpack

Hits = npt.NDArray[Any]

any_hits = arrays.arrays(HIT, st.integers(0, 50))


def simulated(tf_count: int = 40) -> Hits:
    identity = StfIdentity(seed=1, run_number=7, sequence=3, size_bytes=400_000, tf_count=tf_count)
    counts = hit_counts(identity)
    return np.concatenate([hits.copy() for _, hits in hit_blocks(identity, 0, counts)])


def counted(hits: Hits) -> npt.NDArray[np.int64]:
    """The same by whole numbers alone."""
    counts = np.zeros(SHAPE, np.int64)
    for row, quantity in enumerate(QUANTITIES):
        for hit in hits:
            detector = int(hit["detector"])
            if detector < len(DETECTORS):
                place = int(hit[quantity.field]) * BINS // quantity.upper[detector]
                if place < BINS:
                    counts[row, detector, place] += 1
    return counts


@given(any_hits)
def test_they_are_what_counting_with_whole_numbers_gives(hits: Hits) -> None:
    assert np.array_equal(fill(hits).counts, counted(hits))


def test_values_at_the_edges_of_bins_go_where_they_belong() -> None:
    rows = []
    for detector in DETECTORS:
        for place in range(BINS + 1):
            edge = [-(-quantity.upper[detector.number] * place // BINS) for quantity in QUANTITIES]
            for step in (-1, 0, 1):
                channel, adc, time = (max(0, value + step) for value in edge)
                rows.append((detector.number, 0, min(adc, 2**16 - 1), channel, time))
    hits = np.array(rows, HIT)
    assert np.array_equal(fill(hits).counts, counted(hits))


@given(st.lists(any_hits, min_size=1, max_size=5))
def test_parts_add_up_to_the_whole(parts: list[Hits]) -> None:
    assert reduce(add, map(fill, parts)) == fill(np.concatenate(parts))


def test_simulated_hits_are_all_in_it() -> None:
    hits = simulated()
    histograms = fill(hits)
    assert histograms.hits == len(hits)
    assert np.array_equal(histograms.counts.sum(axis=2), np.tile(histograms.entries, (3, 1)))
    assert histograms.entries.tolist() == np.bincount(hits["detector"], minlength=32).tolist()


def test_means_are_exact() -> None:
    hits = simulated()
    means = fill(hits).means
    for row, quantity in enumerate(QUANTITIES):
        values = hits[quantity.field][hits["detector"] == 14].tolist()
        assert means[row, 14] == float(Fraction(sum(values), len(values)))


def test_of_no_hits_there_is_no_mean() -> None:
    assert np.isnan(Histograms.empty().means).all()


@given(any_hits)
def test_packed_and_unpacked_they_are_the_same(hits: Hits) -> None:
    histograms = fill(hits)
    packed = histograms.pack()
    assert unpack(packed) == histograms
    assert unpack(packed).pack() == packed


def test_another_version_is_refused() -> None:
    packed = Histograms.empty().pack()
    with pytest.raises(ValueError, match="of version and shape"):
        unpack(b"\2" + packed[1:])


def test_hits_of_an_unknown_detector_are_in_none() -> None:
    hits = simulated(5)
    hits["detector"][::2] = 77
    assert fill(hits).hits == len(hits[1::2])
