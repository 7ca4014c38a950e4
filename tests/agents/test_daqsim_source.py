"""Where STFs come from: files of a directory streamed unchanged, leftovers removed, the impossible refused."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from django.conf import settings

from apps.agents.daqsim.driver import RunDriver
from apps.agents.daqsim.request import request_run
from apps.agents.daqsim.stf_source import buffer_directory
from apps.runs.errors import DomainError, RetryableError
from apps.runs.models import Run
from apps.stf.models import StfFile
from tests.agents.daq import a_daq_run, announced, drive, killed_after, phase, tell
from tests.factories import a_workflow, kinds

pytestmark = pytest.mark.django_db

ODD_NAMES = ["a b.dat", "Überraschung (1).root", "x" * 250 + ".h5", "empty", "-rf", "data.tar.gz"]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with files of odd names, and things in it that are none."""
    directory = tmp_path / "files"
    (directory / "subdirectory").mkdir(parents=True)
    (directory / ".hidden").write_bytes(b"not me")
    for name in ODD_NAMES:
        (directory / name).write_bytes(name.encode() * (name != "empty"))
    return directory


def streamed(directory: Path, run: Run) -> list[tuple[Path, dict[str, Any]]]:
    """Each file of the directory, by name, with what was said of its STF."""
    sources = sorted(path for path in directory.iterdir() if path.is_file() and path.name[0] != ".")
    return list(zip(sources, announced(run), strict=True))


def check_unchanged(directory: Path, run: Run) -> None:
    for sequence, (source, stf) in enumerate(streamed(directory, run), start=1):
        content = source.read_bytes()
        assert Path(stf["file_url"]).read_bytes() == content
        assert stf["size_bytes"] == len(content)
        assert stf["checksum"] == f"{zlib.adler32(content):08x}"
        assert stf["filename"].startswith(f"swf.{run.run_number}.{sequence:06d}.")
        assert len(stf["filename"]) <= StfFile._meta.get_field("stf_filename").max_length


def test_the_files_of_a_directory_are_streamed_unchanged(exit_buffer: Path, files: Path) -> None:
    run = a_daq_run(from_dir=str(files))
    assert drive(run)

    check_unchanged(files, run)
    names = {stf["filename"].split(".", 3)[3] for stf in announced(run)}
    assert {"a_b.dat", "_berraschung__1_.root", "empty", "-rf", "data.tar.gz"} < names
    run.refresh_from_db()
    assert run.expected_stf_count == len(ODD_NAMES)


def test_a_root_file_stays_one(exit_buffer: Path, tmp_path: Path) -> None:
    directory = tmp_path / "root"
    directory.mkdir()
    with uproot.recreate(directory / "hits.root") as file:
        file["hits"] = {"adc": np.arange(100)}
    run = a_daq_run(from_dir=str(directory))
    drive(run)

    [stf] = announced(run)
    check_unchanged(directory, run)
    with uproot.open(stf["file_url"]) as file:
        assert file["hits"]["adc"].array(library="np").sum() == 4950


def test_a_killed_daq_goes_on_with_the_next_file(
    transactional_db: None, exit_buffer: Path, files: Path
) -> None:
    run = a_daq_run(from_dir=str(files))
    for statements in (15, 30, 9, 2):
        with killed_after(statements):
            drive(run)
    drive(run)

    check_unchanged(files, run)


def test_files_that_come_later_are_not_streamed_not_even_after_a_restart(
    transactional_db: None, exit_buffer: Path, files: Path
) -> None:
    run = a_daq_run(from_dir=str(files))
    with killed_after(20):
        drive(run)
    (files / "0 came later").touch()
    drive(run)

    (files / "0 came later").unlink()
    check_unchanged(files, run)


def test_the_files_to_stream_can_be_chosen(exit_buffer: Path, files: Path) -> None:
    run = a_daq_run(from_dir=str(files), files=["empty", "a b.dat"])
    drive(run)

    assert [stf["size_bytes"] for stf in announced(run)] == [0, 7]


def test_a_file_that_vanished_is_waited_for_by_name(exit_buffer: Path, files: Path) -> None:
    run = a_daq_run(from_dir=str(files))
    driver = RunDriver(run)
    drive(run, steps=5, driver=driver)
    [*_, lost] = sorted(files.glob("*.*"))
    content = lost.read_bytes()
    lost.unlink()
    with pytest.raises(RetryableError, match=re.escape(str(lost))):
        drive(run, driver=driver)
    lost.write_bytes(content)
    assert drive(run, driver=driver)

    check_unchanged(files, run)


def test_two_runs_of_the_same_files_keep_them_apart(exit_buffer: Path, files: Path) -> None:
    runs = [a_daq_run(from_dir=str(files)) for _ in range(2)]
    for run in runs:
        drive(run)
        check_unchanged(files, run)

    assert not {stf["filename"] for stf in announced(runs[0])} & {
        stf["filename"] for stf in announced(runs[1])
    }


@pytest.mark.parametrize("stopped", [False, True], ids=["goes-on", "is-stopped"])
def test_what_a_killed_daq_left_half_written_is_removed(exit_buffer: Path, stopped: bool) -> None:
    run = a_daq_run()
    directory = buffer_directory(run)
    directory.mkdir(parents=True)
    (directory / ".swf.000001.stf.0123.part").write_bytes(b"half an STF")
    if stopped:
        tell(run, "stop")
    drive(run)

    assert list(directory.glob(".*")) == []
    assert len(list(directory.iterdir())) == len(announced(run))


def test_a_buffer_that_takes_nothing_keeps_the_run_waiting_and_says_so(exit_buffer: Path) -> None:
    run = a_daq_run()
    driver = RunDriver(run)
    for _ in range(6):
        driver.step()
    directory = buffer_directory(run)
    moved = directory.rename(directory.with_name("elsewhere"))
    directory.write_bytes(b"in the way")
    with pytest.raises(RetryableError, match=r"the exit buffer does not take swf\..*: Not a directory"):
        driver.step()
    assert phase(run) == "physics"

    directory.unlink()
    moved.rename(directory)
    assert drive(run)
    assert len(kinds(run, "stf_gen")) == 3


def refusal(**overrides: Any) -> str:
    with pytest.raises(DomainError) as refused:
        request_run(a_workflow(**overrides), namespace=settings.SWF_NAMESPACE, requested_by="tester")
    assert not Run.objects.exists()
    return str(refused.value)


def test_a_namespace_that_is_not_served_is_refused_with_the_variable() -> None:
    with pytest.raises(
        DomainError, match=r"^namespace: 'torre' is not served .* serves local: .* SWF_NAMESPACES"
    ):
        request_run(a_workflow(), namespace="torre", requested_by="tester")
    assert not Run.objects.exists()


def test_an_stf_too_small_for_its_tfs_is_refused_with_the_least_size() -> None:
    assert refusal(size_bytes=1000, tf_count=100).startswith(
        "stf.size_bytes: 1000 is too small: an STF of 100 TFs has at least 3"
    )


def test_a_directory_that_cannot_be_streamed_is_refused(tmp_path: Path) -> None:
    empty, file = tmp_path / "empty", tmp_path / "file"
    empty.mkdir()
    file.touch()

    assert refusal(from_dir="relative") == "stf.from_dir: 'relative' must be an absolute path"
    assert refusal(from_dir=str(empty)) == f"stf.from_dir: {str(empty)!r} holds no files"
    (empty / "a\udcff").touch()
    assert "bytes that are no text; rename it" in refusal(from_dir=str(empty))
    assert refusal(from_dir=str(empty), files=["b"]) == f"stf.files: 'b' is no file in {str(empty)!r}"
    gone = str(tmp_path / "gone")
    assert refusal(from_dir=gone) == f"stf.from_dir: {gone!r} cannot be read: No such file or directory"
    assert refusal(from_dir=str(file)) == f"stf.from_dir: {str(file)!r} cannot be read: Not a directory"
