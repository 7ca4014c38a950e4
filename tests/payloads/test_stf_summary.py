"""The payload: its numbers are those of the simulation, damage has a status and a line, a sandbox is enough to run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from apps.stf.container.checksum import adler32_file
from apps.stf.container.content import expected_truth
from apps.stf.container.detectors import DETECTORS
from apps.stf.container.format import HEADER_BYTES, HIT, INDEX_ENTRY, with_crc
from apps.stf.container.reader import StfReader
from apps.stf.container.writer import StfSpec, write_stf
from payloads.sandbox import copy_sandbox, sandbox_files
from payloads.stf_summary.analysis import BLOCK_HITS, GAP_NS, Totals
from payloads.stf_summary.command import Status, main

BEGIN = datetime(2026, 11, 22, 12, tzinfo=UTC)
SPEC = StfSpec(
    run_number=102_345,
    sequence=7,
    tf_first=7000,
    tf_count=50,
    state="run",
    substate="physics",
    begin=BEGIN,
    end=BEGIN + timedelta(milliseconds=33),
    size_bytes=400_000,
    seed=42,
)


class Results:
    """What one call of the payload left behind."""

    def __init__(self, directory: Path, *inputs: Path | str) -> None:
        self.root, self.json = directory / "stf.root", directory / "stf.json"
        words = [str(one) for one in inputs]
        self.status = main([*words, "--root", str(self.root), "--summary", str(self.json)])

    @property
    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads(self.json.read_text())
        return summary


@pytest.fixture
def stf(tmp_path: Path) -> Path:
    return write_stf(tmp_path / "swf.102345.000007.stf", SPEC).path


def clusters_by_hand(path: Path) -> Counter[str]:
    """The definition of a cluster, hit by hit."""
    found: Counter[str] = Counter()
    with StfReader(path) as reader:
        for _, hits in reader:
            last: dict[int, int] = {}
            for hit in sorted(hits.tolist(), key=lambda hit: int(hit[4])):
                detector, time = hit[0], hit[4]
                if detector not in last or time - last[detector] > GAP_NS:
                    found[DETECTORS[detector].name] += 1
                last[detector] = time
    return found


def test_hits_are_those_of_the_simulation(stf: Path, tmp_path: Path) -> None:
    results = Results(tmp_path, stf)
    assert results.status == Status.DONE
    truth = expected_truth(SPEC.identity)
    assert results.summary["hits"] == truth.hits
    assert results.summary["hits_by_detector"] == truth.hits_by_detector


def test_clusters_are_chains_of_hits_in_time(stf: Path, tmp_path: Path) -> None:
    summary = Results(tmp_path, stf).summary
    by_hand = clusters_by_hand(stf)
    assert summary["clusters_by_detector"] == {one.name: by_hand[one.name] for one in DETECTORS}
    assert 0 < summary["clusters"] < summary["hits"]


def test_blocks_of_many_frames_and_frames_larger_than_a_block_count_alike(tmp_path: Path) -> None:
    for tf_count in (3, 1000):
        spec = replace(SPEC, tf_count=tf_count, size_bytes=12 * 4 * BLOCK_HITS)
        path = write_stf(tmp_path / "large.stf", spec).path
        summary = Results(tmp_path, path).summary
        assert summary["hits_by_detector"] == expected_truth(spec.identity).hits_by_detector
        assert summary["clusters_by_detector"] == clusters_by_hand(path)


def test_summary_says_what_was_read(stf: Path, tmp_path: Path) -> None:
    summary = Results(tmp_path, stf).summary
    assert summary["payload"] == "stf_summary"
    assert summary["inputs"] == [
        {
            "file": stf.name,
            "format": "stf",
            "size_bytes": stf.stat().st_size,
            "adler32": adler32_file(stf),
            "run_number": 102_345,
            "sequence": 7,
            "tf_first": 7000,
            "tf_count": 50,
            "hits": summary["hits"],
            "clusters": summary["clusters"],
        }
    ]
    assert set(summary["seconds"]) == {"read", "total", "cpu"}


def test_root_file_holds_histograms_and_a_row_per_time_frame(stf: Path, tmp_path: Path) -> None:
    results = Results(tmp_path, stf)
    with StfReader(stf) as reader:
        frames = dict(reader)
    every = np.concatenate(list(frames.values()))
    with uproot.open(results.root) as file:
        assert file["hits"].values().tolist() == list(results.summary["hits_by_detector"].values())
        assert file["clusters"].values().tolist() == list(results.summary["clusters_by_detector"].values())
        tree = file["tf"].arrays(library="np")
        spectra = {name: file[name].to_numpy() for name in file.keys(cycle=False) if name.startswith("adc_")}
    assert tree["tf"].tolist() == list(frames)
    assert tree["hits"].tolist() == [len(hits) for hits in frames.values()]
    assert tree["clusters"].sum() == results.summary["clusters"]
    for name, (counts, edges) in spectra.items():
        members = [one for one in DETECTORS if f"adc_{one.group}" == name]
        chosen = every[np.isin(every["detector"], [one.number for one in members])]
        expected, _ = np.histogram(chosen["adc"], edges)
        assert counts.tolist() == expected.tolist()
        assert edges[-1] == max(2**one.adc_bits for one in members)
    assert sum(counts.sum() for counts, _ in spectra.values()) == len(every)


def test_several_inputs_in_one_word_are_added_up(tmp_path: Path) -> None:
    specs = [replace(SPEC, sequence=sequence, tf_first=7000 + 50 * sequence) for sequence in (1, 2, 3)]
    paths = [write_stf(tmp_path / f"{spec.sequence}.stf", spec).path for spec in specs]
    summary = Results(tmp_path, f"{paths[0]},{paths[1]}", paths[2]).summary
    assert [one["sequence"] for one in summary["inputs"]] == [1, 2, 3]
    assert summary["hits"] == sum(expected_truth(spec.identity).hits for spec in specs)
    assert summary["clusters"] == sum(one["clusters"] for one in summary["inputs"])


def test_plain_files_are_described(tmp_path: Path) -> None:
    text, root = tmp_path / "swf.1.000001.notes.txt", tmp_path / "swf.1.000002.events.root"
    text.write_bytes(b"abc")
    with uproot.recreate(root) as file:
        file.mktree("events", {"x": "float64"}).extend({"x": np.arange(5.0)})
        file.mktree("runs", {"n": "int32"}).extend({"n": np.arange(2, dtype=np.int32)})
    results = Results(tmp_path, text, root)
    assert results.status == Status.DONE
    plain, trees = results.summary["inputs"]
    assert plain == {"file": text.name, "format": "other", "size_bytes": 3, "adler32": "024d0127"}
    assert (trees["format"], trees["trees"]) == ("root", {"events": 5, "runs": 2})
    with uproot.open(results.root) as file:
        assert file["tf"].num_entries == file["hits"].values().sum() == 0


def test_another_daq_may_call_a_file_of_its_own_format_stf(stf: Path, tmp_path: Path) -> None:
    other = tmp_path / "swf.1.000001.stf"
    other.write_bytes(b"x" * 1000)
    assert Results(tmp_path, other).status == Status.UNREADABLE
    results = Results(tmp_path, "--any-format", other, stf)
    assert results.status == Status.DONE
    assert [one["format"] for one in results.summary["inputs"]] == ["other", "stf"]


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def unknown_detector(data: bytes) -> bytes:
    """The first TF with one hit of detector 77, its CRC right."""
    spec_header, rest = data[:HEADER_BYTES], bytearray(data[HEADER_BYTES:])
    index_at = int.from_bytes(spec_header[64:72], "little") - HEADER_BYTES
    index = np.frombuffer(bytes(rest[index_at:-4]), INDEX_ENTRY).copy()
    last = int(index["length"][0]) - HIT.itemsize
    rest[last] = 77
    index["crc"][0] = int.from_bytes(with_crc(bytes(rest[: last + HIT.itemsize]))[-4:], "little")
    return spec_header + bytes(rest[:index_at]) + with_crc(index.tobytes())


@pytest.mark.parametrize(
    ("damage", "status", "words"),
    [
        pytest.param(lambda d: flipped(d, 5000), Status.CORRUPT, ("corrupt", "TF 70", "CRC-32C"), id="frame"),
        pytest.param(lambda d: flipped(d, 20), Status.CORRUPT, ("corrupt", "header CRC"), id="header"),
        pytest.param(lambda d: flipped(d, len(d) - 9), Status.CORRUPT, ("corrupt", "index"), id="index"),
        pytest.param(unknown_detector, Status.CORRUPT, ("detector = 77", "TF 7000"), id="detector"),
        pytest.param(lambda d: d[:-1], Status.TRUNCATED, ("truncated", "index"), id="one byte short"),
        pytest.param(lambda d: d[:60], Status.TRUNCATED, ("truncated", "header"), id="stump"),
        pytest.param(lambda _: b"", Status.TRUNCATED, ("truncated", "0 bytes"), id="empty"),
        pytest.param(lambda d: b"\0" + d[1:], Status.UNREADABLE, ("unreadable", "magic"), id="magic"),
    ],
)
def test_damage_has_a_status_and_a_line(
    stf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Any, status: Status, words: Any
) -> None:
    stf.write_bytes(damage(stf.read_bytes()))
    results = Results(tmp_path, stf)
    lines = capsys.readouterr().err.splitlines()
    assert results.status == status
    assert len(lines) == 1
    assert lines[0].startswith("stf_summary: ")
    assert all(word in lines[0] for word in (stf.name, *words))
    assert not results.root.exists()
    assert not results.json.exists()


def test_file_that_is_not_there_is_unreadable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Results(tmp_path, tmp_path / "gone.stf").status == Status.UNREADABLE
    assert "gone.stf" in capsys.readouterr().err


def test_damaged_root_file_is_corrupt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "half.root"
    path.write_bytes(b"root" + bytes(range(256)))
    assert Results(tmp_path, path).status == Status.CORRUPT
    assert "half.root" in capsys.readouterr().err


def test_result_that_cannot_be_written_has_its_own_status(
    stf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(stf), "--root", str(stf / "a.root"), "--summary", str(tmp_path / "a.json")]
    assert main(words) == Status.NOT_WRITTEN
    assert "result not written" in capsys.readouterr().err


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    peaks = []
    for size in (4_000_000, 24_000_000):
        path = write_stf(tmp_path / "a.stf", replace(SPEC, tf_count=500, size_bytes=size), durable=False).path
        tracemalloc.start()
        with StfReader(path) as reader:
            Totals().add(reader)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] < 15e6


def test_sandbox_is_enough_to_run_it(stf: Path, tmp_path: Path) -> None:
    sandbox = tmp_path / "sandbox"
    copied = copy_sandbox(sandbox)
    assert copied == sandbox_files()
    assert all(
        "django" not in (sandbox / file).read_text().lower() for file in copied if "apps" in file.parts
    )
    command = [
        sys.executable,
        "-m",
        "payloads.stf_summary",
        str(stf),
        "--root",
        "o.root",
        "--summary",
        "o.json",
    ]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(command, cwd=sandbox, env=variables, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads((sandbox / "o.json").read_text())["hits"] == expected_truth(SPEC.identity).hits
    assert (sandbox / "o.root").stat().st_size > 0
