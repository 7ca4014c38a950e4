"""What the simulation puts into an STF: how many hits where, and what each hit looks like.

All of it follows from the identity of the STF (seed, run, sequence, size, TF count) by integer arithmetic on
the raw words of a PCG64 generator. numpy guarantees those for good, unlike its distributions, so the same STF
has the same bytes with any version and on any machine.

Two independent streams of words serve two purposes. The first decides how many hits each detector has in each
TF; it is short, so a payload's result can be predicted without making or reading the file (`expected_truth`).
The second gives one 64-bit word per hit, cut into ADC quantile (12 bits), bunch crossing (16), channel (32).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from .detectors import DETECTORS, Detector
from .format import BUNCHES, CROSSINGS_PER_TF, HEADER_BYTES, HIT, BadSpecError, index_bytes

U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

COUNTS_STREAM, HITS_STREAM = 0, 1
# The index has 32 bits for the length of a TF, which may exceed the mean; the sharing needs 63 bits at 1 TiB.
MAX_MEAN_TF_BYTES = 2**31
MAX_STF_BYTES = 2**40

# 32 k hits and their temporaries stay in a core's second-level cache.
BLOCK_HITS = 32_768

QUANTILES = 4096
# The last 100 bunches of the ring are empty (the abort gap). 52 orbits fit into a TF, 16 crossings are left.
FILLED_BUNCHES = 1160
ORBITS_PER_TF = CROSSINGS_PER_TF // BUNCHES
# A bunch crossing lasts 10 + 9979/65536 ns.
CROSSING_NS, CROSSING_NS_65536THS = 10, 9979
ADC_MASK, FINE_SHIFT, BEAM_SHIFT = 0xFFFF, 16, 24

_NUMBERS = np.array([detector.number for detector in DETECTORS], np.uint8)
_WEIGHTS = np.array([detector.weight for detector in DETECTORS], np.int64)
_CHANNELS = np.array([detector.channels for detector in DETECTORS], np.uint64)


@dataclass(frozen=True, slots=True, kw_only=True)
class StfIdentity:
    """All that decides the hits of an STF."""

    seed: int
    run_number: int
    sequence: int
    size_bytes: int
    tf_count: int


@dataclass(frozen=True, slots=True)
class Truth:
    """What a perfect payload finds in an STF."""

    hits: int
    hits_by_detector: dict[str, int]


def expected_truth(identity: StfIdentity) -> Truth:
    """Predict the content of an STF without its file, in about a millisecond; raises `BadSpecError`."""
    totals = hit_counts(identity).sum(axis=0).tolist()
    by_detector = {detector.name: count for detector, count in zip(DETECTORS, totals, strict=True)}
    return Truth(sum(totals), by_detector)


def minimum_bytes(tf_count: int) -> int:
    """The smallest STF: header, index and on average one hit per TF."""
    return HEADER_BYTES + index_bytes(tf_count) + tf_count * HIT.itemsize


def hit_counts(identity: StfIdentity) -> I64:
    """Hits per TF and detector: an array (tf_count, detectors) whose sum fills the size to within one hit.

    Raises:
        BadSpecError: the size is too small or too large for this number of TFs.
    """
    tf_count = identity.tf_count
    minimum = minimum_bytes(tf_count)
    maximum = min(MAX_STF_BYTES, tf_count * MAX_MEAN_TF_BYTES)
    if not minimum <= identity.size_bytes <= maximum:
        raise BadSpecError(
            "STF", "size_bytes", identity.size_bytes, f"{tf_count} TFs take {minimum} to {maximum} bytes"
        )
    hits = (identity.size_bytes - HEADER_BYTES - index_bytes(tf_count)) // HIT.itemsize

    columns = len(DETECTORS) + 2
    words = _generator(identity, COUNTS_STREAM).random_raw(tf_count * columns).reshape(tf_count, columns)
    noise = (words >> np.uint64(32)).astype(np.int64)
    per_tf = _shared(np.int64(hits), _varied(noise[:, 0])[np.newaxis], np.zeros(1, np.int64))[0]
    return _shared(per_tf, _WEIGHTS * _varied(noise[:, 2:]), noise[:, 1] & 0xFFFF)


def hit_blocks(identity: StfIdentity, tf_first: int, counts: I64) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
    """Make the hits block by block: (which TFs, their hits in order). The next block overwrites the array."""
    generator = _generator(identity, HITS_STREAM)
    per_tf = counts.sum(axis=1)
    ends = per_tf.cumsum()
    start = 0
    hits = np.zeros(max(BLOCK_HITS, int(per_tf.max())), HIT)
    while start < len(counts):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + BLOCK_HITS, side="right")))
        block = hits[: int(ends[stop - 1]) - before]
        first_bunch = first_bunches(np.arange(tf_first + start, tf_first + stop, dtype=np.uint64))
        _fill(block, counts[start:stop], first_bunch, generator.random_raw(len(block)))
        yield slice(start, stop), block
        start = stop


def first_bunches(tf_numbers: U64) -> U32:
    """Number of the bunch in crossing 0 of these TFs: crossing c is of bunch (first + c) mod 1260."""
    return (tf_numbers % BUNCHES * CROSSINGS_PER_TF % BUNCHES).astype(np.uint32)


def _generator(identity: StfIdentity, stream: int) -> np.random.PCG64:
    key = [identity.seed, identity.run_number, identity.sequence, stream]
    return np.random.PCG64(np.random.SeedSequence(key))


def _varied(noise: I64) -> I64:
    """Random factors between 7/8 and 9/8, in units of 1/256."""
    return 224 + (noise & 63)


def _shared(totals: I64 | np.int64, weights: I64, dither: I64) -> I64:
    """Share each total out over its row of weights, in whole numbers that add up.

    The dither (0..65535, one per row) decides who gets the rounding, so that it is not always the same ones.
    """
    reached = weights.cumsum(axis=-1)
    whole = reached[:, -1:]
    shares: I64 = (reached * np.reshape(totals, (-1, 1)) + (dither[:, np.newaxis] * whole >> 16)) // whole
    shares[:, 1:] -= shares[:, :-1]
    return shares


def _fill(hits: npt.NDArray[Any], counts: I64, first_bunch: U32, words: U64) -> None:
    """Turn one word per hit into hits; `counts` and `first_bunch` have one row per TF."""
    detector = np.repeat(np.tile(_NUMBERS, len(counts)), counts.ravel())
    quantile = (words & np.uint64(QUANTILES - 1)).astype(np.uint32)
    look = _looks().take(detector.astype(np.uint32) * np.uint32(QUANTILES) + quantile)

    anywhere = (words >> np.uint64(12)).astype(np.uint16)
    whole_orbits = np.uint32(ORBITS_PER_TF * BUNCHES)
    in_bunch = _filled_crossings().take(anywhere) + (
        whole_orbits - np.repeat(first_bunch, counts.sum(axis=1))
    )
    in_bunch = np.minimum(in_bunch, in_bunch - whole_orbits)  # modulo: the unsigned difference wraps to huge
    crossing = np.where(look >= np.uint32(1 << BEAM_SHIFT), in_bunch, anywhere)
    time = crossing * np.uint32(CROSSING_NS)
    time += crossing * np.uint32(CROSSING_NS_65536THS) >> np.uint32(16)
    time += (look >> np.uint32(FINE_SHIFT)) & np.uint32(0xFF)

    hits["detector"] = detector
    hits["adc"] = look & np.uint32(ADC_MASK)
    hits["channel"] = (words >> np.uint64(32)) * _CHANNELS.take(detector) >> np.uint64(32)
    hits["time"] = time


@cache
def _filled_crossings() -> U32:
    """16 random bits -> a crossing of a filled bunch in the whole orbits of a TF, counted from a bunch 0."""
    filled = np.arange(CROSSINGS_PER_TF, dtype=np.uint64) * (ORBITS_PER_TF * FILLED_BUNCHES) >> np.uint64(16)
    return (filled // FILLED_BUNCHES * BUNCHES + filled % FILLED_BUNCHES).astype(np.uint32)


@cache
def _looks() -> U32:
    """Table (detector, quantile) of ADC value, ns within the crossing, and "from a collision", packed."""
    return np.concatenate([_look(detector) for detector in DETECTORS])


def _look(detector: Detector) -> U32:
    normal = _normal_quantiles()
    rank = np.arange(QUANTILES)
    noise_ranks = QUANTILES * detector.noise_percent // 100
    beam = rank >= noise_ranks
    within = np.where(
        beam,
        (rank - noise_ranks) * QUANTILES // (QUANTILES - noise_ranks),
        rank * QUANTILES // max(noise_ranks, 1),
    )
    z = normal[within % QUANTILES]
    adc = np.where(
        beam,
        detector.peak + detector.peak_width * (z + 0.15 * (z * z - 1)),  # skewed: a tail of large signals
        detector.pedestal + detector.noise_width * z,
    )
    adc = np.clip(np.rint(adc), 0, 2**detector.adc_bits - 1).astype(np.uint32)
    # Neighbouring ranks have the same ADC value, so their last digits serve as an independent random number.
    fine = np.where(beam, detector.delay + rank % 3 - 1, rank % CROSSING_NS)
    packed: U32 = (
        adc | (fine << FINE_SHIFT).astype(np.uint32) | (beam.astype(np.uint32) << np.uint32(BEAM_SHIFT))
    )
    return packed


@cache
def _normal_quantiles() -> npt.NDArray[np.float64]:
    """Quantiles of the normal distribution: Python's own; their last digits do not reach the rounded ADC."""
    normal = NormalDist()
    return np.array([normal.inv_cdf((rank + 0.5) / QUANTILES) for rank in range(QUANTILES)])
