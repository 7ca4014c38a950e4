"""A TF file is an STF file with fewer TFs: their bytes unchanged, the same file each time, whole or not there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from apps.stf.container.checksum import adler32_file
from apps.stf.container.excerpt import ExcerptWritten, write_excerpt
from apps.stf.container.reader import LocalFile, StfReader
from apps.stf.container.writer import StfSpec, write_stf

BEGIN = datetime(2026, 7, 1, 12, tzinfo=UTC)
TF = timedelta(microseconds=665)


@pytest.fixture
def stf(tmp_path: Path) -> Path:
    """An STF of the TFs 100 to 119."""
    path = tmp_path / "swf.7.000006.stf"
    write_stf(
        path,
        StfSpec(
            run_number=7,
            sequence=6,
            tf_first=100,
            tf_count=20,
            state="run",
            substate="physics",
            begin=BEGIN,
            end=BEGIN + 20 * TF,
            size_bytes=40_000,
            seed=3,
        ),
        durable=False,
    )
    return path


def excerpt(stf: Path, path: Path, tfs: list[int]) -> ExcerptWritten:
    """These TFs, of the block 105 to 109."""
    source = LocalFile(stf)
    reader = StfReader(source, stf.name)
    entries = [reader.entry(tf) for tf in tfs]
    taken = [(entry, source.read_at(entry.offset, entry.length)) for entry in entries]
    source.close()
    return write_excerpt(path, reader.header, (105, 109), taken)


def test_it_is_read_as_an_stf(stf: Path, tmp_path: Path) -> None:
    path = tmp_path / "one.tf"
    written = excerpt(stf, path, [105, 106, 107, 108, 109])
    assert (written.size_bytes, written.adler32) == (path.stat().st_size, adler32_file(path))
    with StfReader(stf) as original, StfReader(path) as found:
        assert found.tf_numbers() == [105, 106, 107, 108, 109]
        assert all(np.array_equal(hits, original.read_tf(tf)) for tf, hits in found)
        header = found.header
    assert (header.run_number, header.sequence, header.seed) == (7, 6, 3)
    assert (header.state, header.substate, header.tf_first) == ("run", "physics", 105)
    assert (header.begin, header.end) == (BEGIN + 5 * TF, BEGIN + 10 * TF)


def test_tfs_may_be_missing(stf: Path, tmp_path: Path) -> None:
    excerpt(stf, tmp_path / "one.tf", [106, 109])
    with StfReader(tmp_path / "one.tf") as found:
        assert found.tf_numbers() == [106, 109]
        assert (found.header.tf_first, found.header.tf_count) == (105, 2)
        assert found.header.end == BEGIN + 10 * TF


def test_it_is_always_the_same_file(stf: Path, tmp_path: Path) -> None:
    path = tmp_path / "one.tf"
    first = excerpt(stf, path, [105, 106])
    content = path.read_bytes()
    path.write_bytes(b"what a killed process left")
    assert excerpt(stf, path, [105, 106]) == first
    assert path.read_bytes() == content


def test_what_cannot_be_written_leaves_nothing(stf: Path, tmp_path: Path) -> None:
    taken = tmp_path / "one.tf"
    taken.mkdir()
    with pytest.raises(OSError, match="directory"):
        excerpt(stf, taken, [105])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.tf", stf.name]
