"""Which time frames are sampled: apart, in order, within the STF, spread over it, and always the same."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from apps.stf.container.sampling import Sampling, sampled_blocks

NORMAL = Sampling(seed=1, rate=0.05, blocks=3)
STF = {"run_number": 100011, "sequence": 7, "tf_first": 6000, "tf_count": 1000}

samplings = st.builds(
    Sampling,
    seed=st.integers(0, 2**63 - 1),
    rate=st.floats(0.0001, 1),
    blocks=st.integers(1, 100),
    block_length=st.none() | st.integers(1, 2000),
)
stfs = st.fixed_dictionaries(
    {
        "run_number": st.integers(0, 2**40),
        "sequence": st.integers(1, 2**31 - 1),
        "tf_first": st.integers(0, 2**40),
        "tf_count": st.integers(1, 3000),
    }
)


@given(samplings, stfs)
def test_blocks_are_apart_ascending_and_within_the_stf(sampling: Sampling, stf: dict[str, int]) -> None:
    blocks = sampled_blocks(sampling, **stf)
    ends = [number for block in blocks for number in block]
    assert ends == sorted(ends)
    assert all(before[1] < after[0] for before, after in pairwise(blocks))
    assert stf["tf_first"] <= ends[0]
    assert ends[-1] < stf["tf_first"] + stf["tf_count"]


@given(samplings, stfs)
def test_as_many_are_taken_as_the_parameters_say(sampling: Sampling, stf: dict[str, int]) -> None:
    taken = sum(last - first + 1 for first, last in sampled_blocks(sampling, **stf))
    if sampling.block_length is None:
        wanted = max(1, round(sampling.rate * stf["tf_count"]))
    else:
        wanted = sampling.blocks * sampling.block_length
    assert taken == min(wanted, stf["tf_count"])


@given(samplings, stfs)
def test_each_equal_part_of_the_stf_has_one_block(sampling: Sampling, stf: dict[str, int]) -> None:
    blocks = sampled_blocks(sampling, **stf)
    whole, rest = divmod(stf["tf_count"], len(blocks))
    begin = stf["tf_first"]
    for position, (first, last) in enumerate(blocks):
        end = begin + whole + (position < rest)
        assert begin <= first <= last < end
        begin = end


@given(samplings, stfs)
def test_who_asks_again_is_told_the_same(sampling: Sampling, stf: dict[str, int]) -> None:
    assert sampled_blocks(sampling, **stf) == sampled_blocks(sampling, **stf)


def test_the_choice_is_this_one_for_good() -> None:
    assert sampled_blocks(NORMAL, **STF) == [(6114, 6130), (6453, 6469), (6777, 6792)]


def test_it_depends_on_run_sequence_and_seed() -> None:
    usual = sampled_blocks(NORMAL, **STF)
    assert sampled_blocks(replace(NORMAL, seed=2), **STF) != usual
    assert sampled_blocks(NORMAL, **STF | {"sequence": 8}) != usual
    assert sampled_blocks(NORMAL, **STF | {"run_number": 100012}) != usual


def test_without_a_rate_none_are_taken() -> None:
    assert sampled_blocks(replace(NORMAL, rate=0.0, block_length=5), **STF) == []


def test_every_place_is_taken_in_the_course_of_a_run() -> None:
    few = Sampling(seed=1, rate=0.1, blocks=1)
    places = {
        sampled_blocks(few, run_number=1, sequence=sequence, tf_first=0, tf_count=20)[0][0]
        for sequence in range(1, 500)
    }
    assert places == set(range(19))
