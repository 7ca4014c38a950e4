"""One POSIX copy: verified at both ends, whole or not there at all."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from services import copying
from services.copying import CopyError, copy_file

CONTENT = bytes(range(256)) * 100
ADLER32 = f"{zlib.adler32(CONTENT):08x}"

Copier = Callable[..., None]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file in the exit buffer."""
    path = tmp_path / "stf"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where it goes, in a directory that is not there yet."""
    return tmp_path / "site" / "ab" / "cd" / "stf"


@pytest.fixture
def copy(source: Path, target: Path, tmp_path: Path) -> Copier:
    """Copies the file as the catalogue knows it, unless told otherwise."""

    def make(size: int = len(CONTENT), adler32: str = ADLER32) -> None:
        copy_file(source, target, tmp_path / "site" / ".incoming" / "one", size, adler32)

    return make


def test_the_bytes_arrive(copy: Copier, target: Path) -> None:
    copy()
    assert target.read_bytes() == CONTENT


def test_a_repeated_copy_replaces_the_first(copy: Copier, target: Path) -> None:
    copy()
    copy()
    assert target.read_bytes() == CONTENT


def test_faults_of_the_source_are_told_apart(copy: Copier, source: Path, target: Path) -> None:
    with pytest.raises(CopyError, match=rf"^source file altered: adler32 {ADLER32}, expected 12345678$"):
        copy(adler32="12345678")
    with pytest.raises(CopyError, match=r"^source file altered: 25600 bytes, expected 25601$"):
        copy(size=len(CONTENT) + 1)
    source.unlink()
    with pytest.raises(CopyError, match=rf"^source file missing: {source}$"):
        copy()
    assert not target.exists()


def test_a_failed_copy_leaves_a_former_one_alone(copy: Copier, source: Path, target: Path) -> None:
    copy()
    source.write_bytes(CONTENT[:-1])
    with pytest.raises(CopyError):
        copy()
    assert target.read_bytes() == CONTENT
    assert not any((target.parents[2] / ".incoming").iterdir())


def test_damage_at_the_destination_is_seen(
    copy: Copier, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damage(descriptor: int) -> None:
        copying.os.pwrite(descriptor, b"!", 7)

    # The disk changes a byte after it was written: what is read back differs.
    monkeypatch.setattr(copying.os, "fsync", damage)
    monkeypatch.setattr(copying, "_sync_directory", lambda _path: None)
    with pytest.raises(CopyError, match=r"^destination damaged in writing: adler32 "):
        copy()
    assert not target.exists()


def test_a_destination_that_cannot_be_written_is_named(copy: Copier, tmp_path: Path) -> None:
    (tmp_path / "site").write_text("in the way")
    with pytest.raises(CopyError, match=r"^destination not written: "):
        copy()


class Enough(Exception):
    """Whoever watches the copy has seen enough."""


@pytest.mark.parametrize("chunk", [1, 2, 5, 8])
def test_a_copy_that_is_watched_can_be_ended_at_each_chunk(
    source: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(copying, "CHUNK", len(CONTENT) // 4)
    seen: list[int] = []

    def watch() -> None:
        seen.append(1)
        if len(seen) == chunk:
            raise Enough

    draft = tmp_path / "draft"
    with pytest.raises(Enough):
        copy_file(source, target, draft, len(CONTENT), ADLER32, watch)
    assert not target.exists()
    assert not draft.exists()
