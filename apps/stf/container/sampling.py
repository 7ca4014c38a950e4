"""Which time frames of an STF are looked at by fast monitoring.

The choice follows from the identity of the STF and the sampling's seed by integer arithmetic on the raw words of a
PCG64 generator, which numpy guarantees for good: whoever asks again, anywhere, is told the same time frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# The simulation uses the streams 0 and 1 of the same key: what is looked at does not depend on what is there.
SAMPLING_STREAM = 2
WORD_BITS = 64

Block = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How an STF is sampled.

    `rate` is the part of its TFs, from 0 (none) to 1; `blocks` how many runs of consecutive TFs they come in;
    `block_length`, if given, the length of each instead of what follows from the rate.
    """

    seed: int
    rate: float
    blocks: int
    block_length: int | None = None


def sampled_blocks(
    sampling: Sampling, *, run_number: int, sequence: int, tf_first: int, tf_count: int
) -> list[Block]:
    """The TFs to read of an STF: ranges (first, last), both inclusive, ascending and apart.

    The STF is cut into equal parts, and each has one block at a random place. There are fewer blocks than asked for only
    where there are fewer TFs to take, but at least one TF is taken unless the rate is 0.
    """
    if sampling.rate <= 0 or tf_count < 1:
        return []
    wanted = _wanted(sampling, tf_count)
    count = min(sampling.blocks, wanted)
    key = [sampling.seed, run_number, sequence, SAMPLING_STREAM]
    words = np.random.PCG64(np.random.SeedSequence(key)).random_raw(count).tolist()
    blocks = []
    start = tf_first
    for word, part, length in zip(words, _shares(tf_count, count), _shares(wanted, count), strict=True):
        # Multiply and shift: an even choice among the places where the block fits.
        first = start + (word * (part - length + 1) >> WORD_BITS)
        blocks.append((first, first + length - 1))
        start += part
    return blocks


def _wanted(sampling: Sampling, tf_count: int) -> int:
    if sampling.block_length is not None:
        return min(sampling.block_length * sampling.blocks, tf_count)
    return min(max(1, round(sampling.rate * tf_count)), tf_count)


def _shares(total: int, count: int) -> list[int]:
    """Whole shares, as equal as can be, the larger ones first: so no share of a smaller total exceeds that of a larger."""
    whole, rest = divmod(total, count)
    return [whole + (position < rest) for position in range(count)]
