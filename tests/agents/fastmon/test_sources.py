"""Where the exit buffer is read: the URL of a file, and what counts as read."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.agents.fastmon.sources import LocalSource, below, remote_url


def test_a_file_has_its_place_below_the_servers_url(exit_buffer: Path, settings: object) -> None:
    settings.SWF_E0_XROOTD = "root://host:1094//"  # type: ignore[attr-defined]
    assert remote_url(str(exit_buffer / "100011" / "a.stf")) == "root://host:1094//100011/a.stf"


def test_it_may_be_named_by_another_way_to_the_same_place(exit_buffer: Path, settings: object) -> None:
    settings.SWF_E0_XROOTD = "root://host:1094//"  # type: ignore[attr-defined]
    link = exit_buffer.with_name("link")
    link.symlink_to(exit_buffer)
    assert remote_url(str(link / "a.stf")) == "root://host:1094//a.stf"


def test_what_lies_elsewhere_has_none(exit_buffer: Path, settings: object) -> None:
    settings.SWF_E0_XROOTD = "root://host:1094//"  # type: ignore[attr-defined]
    with pytest.raises(FileNotFoundError, match=r"/etc/passwd is not in the exit buffer, "):
        remote_url("/etc/passwd")


@pytest.mark.parametrize("server", ["root://host//epic/buffer", "root://host//epic/buffer/"])
def test_the_last_slash_may_be_left_out(server: str) -> None:
    assert below(server, "7/a.stf") == "root://host//epic/buffer/7/a.stf"


def test_requests_and_bytes_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    source = LocalSource(tmp_path / "a")
    assert source.read_ranges([(0, 3), (8, 5)]) == [b"012", b"89"]
    assert source.read_at(4, 1) == b"4"
    assert (source.requests, source.bytes_read) == (3, 6)
    source.close()
