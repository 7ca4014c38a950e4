"""The STF container: what is written is read, is the same everywhere, is predicted; damage is named."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
import zlib
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.stf.container.checksum import adler32_file
from apps.stf.container.content import Truth, expected_truth, first_bunches, minimum_bytes
from apps.stf.container.detectors import BY_NAME, DETECTORS
from apps.stf.container.format import (
    BUNCHES,
    CROSSINGS_PER_TF,
    HEADER_BYTES,
    HIT,
    TF_NS,
    BadSpecError,
    ContainerError,
    CorruptError,
    NotAContainerError,
    TruncatedError,
    UnknownTfError,
    index_bytes,
)
from apps.stf.container.reader import StfReader
from apps.stf.container.writer import StfSpec, write_stf

REPOSITORY = Path(__file__).resolve().parents[2]
BEGIN = datetime(2026, 11, 22, 12, 0, 0, 600_001, tzinfo=UTC)
SPEC = StfSpec(
    run_number=102_345,
    sequence=7,
    tf_first=7000,
    tf_count=100,
    state="run",
    substate="physics",
    begin=BEGIN,
    end=BEGIN + timedelta(milliseconds=665),
    size_bytes=200_000,
    seed=42,
)


class CountedRanges:
    """Bytes as a range source that remembers what was asked."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asked: list[tuple[int, int]] = []

    def read_at(self, offset: int, length: int) -> bytes:
        self.asked.append((offset, length))
        return self.data[offset : offset + length]


@pytest.fixture
def stf(tmp_path: Path) -> Path:
    return write_stf(tmp_path / "one.stf", SPEC, durable=False).path


@pytest.fixture(scope="module")
def hits(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    """The hits of a larger STF by TF number, for the shapes of its distributions."""
    path = tmp_path_factory.mktemp("stf") / "large.stf"
    write_stf(path, replace(SPEC, size_bytes=6_000_000), durable=False)
    with StfReader(path) as reader:
        return dict(reader)


specs = st.builds(
    lambda tf_count, extra, **others: replace(
        SPEC, tf_count=tf_count, size_bytes=minimum_bytes(tf_count) + extra, **others
    ),
    tf_count=st.integers(1, 60),
    extra=st.integers(0, 600_000),
    seed=st.integers(0, 2**63 - 1),
    run_number=st.integers(0, 2**63 - 1),
    sequence=st.integers(0, 10**6),
    tf_first=st.integers(0, 2**62),
    substate=st.sampled_from(["physics", "standby", "", "sixteen_letters_"]),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spec=specs)
def test_what_is_written_is_read(tmp_path: Path, spec: StfSpec) -> None:
    written = write_stf(tmp_path / "any.stf", spec, durable=False)
    data = written.path.read_bytes()
    assert written.size_bytes == len(data)
    assert 0 <= spec.size_bytes - len(data) < HIT.itemsize
    assert written.adler32 == adler32_file(written.path) == f"{zlib.adler32(data):08x}"

    with StfReader(written.path) as reader:
        header = reader.header
        assert (header.run_number, header.sequence, header.seed) == (
            spec.run_number,
            spec.sequence,
            spec.seed,
        )
        assert (header.state, header.substate) == (spec.state, spec.substate)
        assert (header.begin, header.end) == (spec.begin, spec.end)
        assert reader.tf_numbers() == list(range(spec.tf_first, spec.tf_first + spec.tf_count))
        found: Counter[str] = Counter()
        for _, tf_hits in reader:
            found.update(DETECTORS[number].name for number in tf_hits["detector"].tolist())
    truth = expected_truth(spec.identity)
    assert truth == Truth(found.total(), {detector.name: found[detector.name] for detector in DETECTORS})


def test_the_same_stf_has_the_same_bytes_with_every_version(tmp_path: Path) -> None:
    # If this fails, files already described elsewhere can no longer be made again: raise format.VERSION.
    assert write_stf(tmp_path / "pinned.stf", SPEC).adler32 == "fb1556b1"


def test_another_process_writes_the_same_bytes(stf: Path) -> None:
    code = (
        "import datetime, pathlib; from apps.stf.container.writer import StfSpec, write_stf\n"
        f"print(write_stf(pathlib.Path({str(stf) + '.again'!r}), {SPEC!r}).adler32)"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == adler32_file(stf)


@pytest.mark.parametrize("changed", [{"seed": 43}, {"run_number": 1}, {"sequence": 8}])
def test_every_part_of_the_identity_changes_the_hits(changed: Any) -> None:
    assert expected_truth(replace(SPEC, **changed).identity) != expected_truth(SPEC.identity)


def test_rare_detectors_are_not_starved_in_small_stfs() -> None:
    small = replace(SPEC, size_bytes=minimum_bytes(1000) + 120_000, tf_count=1000)
    found = expected_truth(small.identity)
    weights = sum(detector.weight for detector in DETECTORS)
    for detector in DETECTORS:
        expected = found.hits * detector.weight / weights
        assert abs(found.hits_by_detector[detector.name] - expected) < 5 * expected**0.5 + 5


def test_two_range_requests_before_the_first_tf(stf: Path) -> None:
    source = CountedRanges(stf.read_bytes())
    reader = StfReader(source, name="remote.stf")
    header = reader.header
    assert source.asked == [(0, HEADER_BYTES), (header.index_offset, header.index_bytes)]
    reader.read_tf(7042)
    entry = reader.entry(7042)
    assert source.asked[2:] == [(entry.offset, entry.length)]


def test_bytes_fetched_elsewhere_can_be_decoded(stf: Path) -> None:
    with StfReader(stf) as reader:
        entry = reader.entry(7001)
        data = stf.read_bytes()[entry.offset : entry.offset + entry.length]
        assert np.array_equal(reader.decode(7001, data), reader.read_tf(7001))


def test_memory_is_bounded_by_a_block_and_not_by_the_file(tmp_path: Path) -> None:
    large = replace(SPEC, size_bytes=64_000_000, tf_count=1000)
    tracemalloc.start()
    try:
        written = write_stf(tmp_path / "large.stf", large, durable=False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert written.size_bytes > 63_999_980
    assert peak < 8_000_000


def test_hits_stay_within_their_detector_and_tf(hits: dict[int, Any]) -> None:
    every = np.concatenate(list(hits.values()))
    numbers = every["detector"]
    assert (every["channel"] < np.array([detector.channels for detector in DETECTORS])[numbers]).all()
    assert (every["adc"] < 2 ** np.array([detector.adc_bits for detector in DETECTORS])[numbers]).all()
    assert every["time"].max() < TF_NS + 20
    assert set(numbers.tolist()) == set(range(len(DETECTORS)))
    for tf_hits in hits.values():
        assert (np.diff(tf_hits["detector"].astype(int)) >= 0).all()


def test_adc_spectrum_has_a_pedestal_and_a_peak(hits: dict[int, Any]) -> None:
    every = np.concatenate(list(hits.values()))
    detector = BY_NAME["EEEMCal"]
    adc = every["adc"][every["detector"] == detector.number].astype(int)
    valley = (detector.pedestal + detector.peak) // 2
    noise, signal = adc[adc < valley], adc[adc >= valley]
    assert abs(len(noise) / len(adc) - detector.noise_percent / 100) < 0.02
    assert abs(np.median(noise) - detector.pedestal) < 5
    assert abs(np.median(signal) - detector.peak) < detector.peak_width / 4


def test_collisions_come_from_filled_bunches_and_noise_does_not_care(hits: dict[int, Any]) -> None:
    in_gap: Counter[bool] = Counter()
    detector = BY_NAME["dRICH"]
    for tf, tf_hits in hits.items():
        chosen = tf_hits[tf_hits["detector"] == detector.number]
        crossing = np.rint((chosen["time"] - 5.0) / (TF_NS / CROSSINGS_PER_TF)).astype(int)
        bunch = (int(first_bunches(np.array([tf], np.uint64))[0]) + crossing) % BUNCHES
        signal = chosen["adc"] > 130
        in_gap[True] += int(((bunch > 1162) & (bunch < 1258) & signal).sum())
        in_gap[False] += int(((bunch > 1162) & (bunch < 1258) & ~signal).sum())
    assert in_gap[True] == 0
    assert in_gap[False] > 1000


def damaged(path: Path, offset: int) -> Path:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)
    return path


def test_not_an_stf_is_said(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("x" * 200)
    with pytest.raises(NotAContainerError, match=r"notes.txt: magic = b'xxxxxxxx': an STF file begins with"):
        StfReader(path)


@pytest.mark.parametrize("size", [0, 100])
def test_a_file_without_a_whole_header_is_truncated(stf: Path, size: int) -> None:
    stf.write_bytes(stf.read_bytes()[:size])
    with pytest.raises(TruncatedError, match=f"header = '{size} bytes': a header has 128 bytes"):
        StfReader(stf)


def test_a_file_cut_in_its_index_is_truncated(stf: Path) -> None:
    stf.write_bytes(stf.read_bytes()[:-10])
    with pytest.raises(
        TruncatedError, match=r"index = '2394 bytes': the header promises 2404 bytes at offset"
    ):
        StfReader(stf)


def test_a_changed_header_is_corrupt(stf: Path) -> None:
    with pytest.raises(CorruptError, match="header CRC-32C"):
        StfReader(damaged(stf, 20))


def test_a_changed_index_is_corrupt(stf: Path) -> None:
    with pytest.raises(CorruptError, match="index CRC-32C"):
        StfReader(damaged(stf, stf.stat().st_size - 50))


def test_a_changed_tf_is_named_and_the_others_stay_readable(stf: Path) -> None:
    with StfReader(stf) as reader:
        entry = reader.entry(7050)
    with StfReader(damaged(stf, entry.offset + 5)) as reader:
        with pytest.raises(CorruptError, match=r"one.stf: TF 7050 CRC-32C = .*: the bytes read have"):
            reader.read_tf(7050)
        assert len(reader.read_tf(7051)) > 0


def test_a_tf_that_comes_short_is_truncated(stf: Path) -> None:
    with StfReader(stf) as reader, pytest.raises(TruncatedError, match="TF 7000 = '3 bytes': the index says"):
        reader.decode(7000, b"abc")


def test_a_tf_of_another_stf_is_unknown(stf: Path) -> None:
    with StfReader(stf) as reader:
        for tf in (6999, 7100):
            with pytest.raises(UnknownTfError, match=f"TF = {tf}: the file holds 7000 to 7099"):
                reader.read_tf(tf)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"size_bytes": 3731}, "size_bytes = 3731: 100 TFs take 3732 to 214748364800 bytes"),
        ({"tf_count": 0}, "tf_count = 0: should be between 1 and 65536"),
        ({"sequence": -1}, "sequence = -1: should be between 0"),
        (
            {"state": "no_beam_not_ready"},
            "state = 'no_beam_not_ready': should be at most 16 ASCII characters",
        ),
        ({"begin": datetime(2026, 1, 1)}, "begin = .*: should have a time zone"),
        ({"end": BEGIN - timedelta(seconds=1)}, "end = .*: is before begin"),
    ],
)
def test_a_spec_that_cannot_be_written_is_refused(tmp_path: Path, changed: Any, message: str) -> None:
    with pytest.raises(BadSpecError, match=message):
        write_stf(tmp_path / "never.stf", replace(SPEC, **changed))
    assert list(tmp_path.iterdir()) == []


def test_the_smallest_stf_can_be_written_and_read(tmp_path: Path) -> None:
    smallest = replace(SPEC, size_bytes=minimum_bytes(SPEC.tf_count))
    with StfReader(write_stf(tmp_path / "small.stf", smallest).path) as reader:
        lengths = [len(tf_hits) for _, tf_hits in reader]
    assert sum(lengths) == SPEC.tf_count
    assert HEADER_BYTES + index_bytes(SPEC.tf_count) + sum(lengths) * HIT.itemsize == smallest.size_bytes


def test_a_failed_write_leaves_nothing_and_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "taken"
    target.mkdir()
    with pytest.raises(IsADirectoryError):
        write_stf(target, SPEC)
    assert list(tmp_path.iterdir()) == [target]


def test_errors_of_the_container_carry_their_parts(stf: Path) -> None:
    with StfReader(stf) as reader, pytest.raises(ContainerError) as caught:
        reader.read_tf(1)
    assert (caught.value.file, caught.value.field, caught.value.value) == (str(stf), "TF", 1)
