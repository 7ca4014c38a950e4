"""What is found in a slice, and why nothing is."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.agents.bus.fast_schemas import SliceContent
from apps.agents.worker import sources
from apps.agents.worker.processing import SliceFailed, process
from apps.stf.container.detectors import DETECTORS
from apps.stf.container.reader import StfReader
from services.storage import FASTMON, storage_root
from services.xrootd.engine import PROGRAMS, XRootD
from tests.engines import Engines

from .process import a_slice


def found(
    url: Path | str,
    first: int,
    last: int,
    *,
    timeout: float = 60.0,
    scratch: Path | None = None,
    **content: Any,
) -> dict[str, Any]:
    body = a_slice(url, first, last, **content)
    return process(SliceContent.model_validate(body["content"]), timeout=timeout, scratch=scratch)


def why(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(SliceFailed) as failure:
        found(*args, **kwargs)
    return str(failure.value)


class TestSummary:
    def test_counts_the_hits_of_its_tfs_and_no_others(self, tf_file: Path) -> None:
        with StfReader(tf_file) as file:
            hits = np.concatenate([file.read_tf(tf) for tf in range(105, 108)])
        summary = found(tf_file, 105, 107)

        assert (summary["tfs"], summary["hits"], summary["missing_tfs"]) == (3, len(hits), [])
        assert summary["hits_by_detector"] == [int((hits["detector"] == d.number).sum()) for d in DETECTORS]

    def test_of_all_slices_is_that_of_the_file(self, tf_file: Path) -> None:
        slices = [found(tf_file, first, first + 6) for first in (100, 107, 114)]
        whole = found(tf_file, 100, 119)

        assert sum(one["hits"] for one in slices) == whole["hits"]
        assert (
            np.sum([one["hits_by_detector"] for one in slices], axis=0).tolist() == whole["hits_by_detector"]
        )

    def test_names_tfs_that_the_file_does_not_have(self, tf_file: Path) -> None:
        assert found(tf_file, 118, 121)["missing_tfs"] == [120, 121]
        nothing = found(tf_file, 200, 201)
        assert (nothing["tfs"], nothing["hits"], nothing["missing_tfs"]) == (0, 0, [200, 201])

    def test_a_flipped_bit_is_found(self, tf_file: Path) -> None:
        data = bytearray(tf_file.read_bytes())
        with StfReader(tf_file) as file:
            data[file.entry(103).offset] ^= 1
        tf_file.write_bytes(data)

        assert "TF 103 CRC-32C" in why(tf_file, 102, 104)
        assert found(tf_file, 104, 106)["tfs"] == 3

    def test_a_file_that_is_gone_cut_off_or_unknown_is_a_reason(self, tf_file: Path) -> None:
        assert "No such file" in why("/nowhere.tf", 1, 2)
        assert "file_url" in why(tf_file, 100, 101, file_url=None)
        tf_file.write_bytes(tf_file.read_bytes()[:1000])
        assert str(tf_file) in why(tf_file, 100, 101)

    def test_a_server_that_is_away_is_waited_for_and_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sources, "PATIENCE_SECONDS", 0.5)
        monkeypatch.setattr(sources, "PAUSE_SECONDS", 0.1)
        pytest.importorskip("XRootD")
        assert "root://127.0.0.1:1//one.tf" in why("root://127.0.0.1:1//one.tf", 1, 2)

    @pytest.mark.services
    @pytest.mark.skipif(any(shutil.which(program) is None for program in PROGRAMS), reason="no XRootD here")
    def test_is_the_same_over_xrootd(self, engines: Engines, tf_file: Path) -> None:
        servers = engines.start("xrootd")
        assert isinstance(servers, XRootD)
        directory = storage_root(servers.home, FASTMON) / "1"
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(tf_file, directory)
        url = f"{servers.url(FASTMON)}1/{tf_file.name}"

        assert found(url, 105, 107) == found(tf_file, 105, 107)
        assert "one.tf" in why(f"{servers.url(FASTMON)}1/one.tf", 1, 2)


def command(code: str) -> str:
    """A payload: this Python code, its arguments the file, the two numbers, and where its result goes."""
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} %IN %FIRST %LAST %OUT"


class TestCommand:
    def test_is_told_its_slice_and_leaves_an_object(self, tf_file: Path) -> None:
        code = "import json, sys; json.dump({'told': sys.argv[1:4]}, open(sys.argv[4], 'w'))"
        assert found(tf_file, 100, 102, payload=command(code)) == {"told": [str(tf_file), "100", "102"]}

    def test_works_where_it_is_told_and_leaves_no_file_behind(self, tf_file: Path, tmp_path: Path) -> None:
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        code = "import json, sys, tempfile as t; json.dump({'where': t.mkdtemp()}, open(sys.argv[4], 'w'))"
        where = found(tf_file, 1, 2, scratch=scratch, payload=command(code))["where"]
        assert Path(where).parent.parent == scratch
        assert list(scratch.iterdir()) == []

    def test_may_leave_nothing(self, tf_file: Path) -> None:
        assert found(tf_file, 100, 102, payload="true") == {}

    def test_that_fails_is_quoted(self, tf_file: Path) -> None:
        code = "import sys; sys.exit('no calibration')"
        assert why(tf_file, 1, 2, payload=command(code)) == "the command exited with 1: no calibration"
        assert "SIGKILL" in why(tf_file, 1, 2, payload="sh -c 'kill -9 $$'")
        assert "no-such-program" in why(tf_file, 1, 2, payload="no-such-program")
        assert "no command line" in why(tf_file, 1, 2, payload="'")

    @pytest.mark.parametrize(
        ("left", "reason"),
        [("not json", "is no JSON"), ("[1]", "list"), (json.dumps("x" * 10**6), "1000000")],
    )
    def test_that_leaves_no_object_has_failed(
        self, tf_file: Path, tmp_path: Path, left: str, reason: str
    ) -> None:
        (tmp_path / "left").write_text(left)
        assert reason in why(tf_file, 1, 2, payload=f"cp {tmp_path / 'left'} %OUT")

    def test_that_takes_too_long_is_killed_with_its_children(self, tf_file: Path, tmp_path: Path) -> None:
        mark = tmp_path / "still-here"
        line = f"(sleep 1; touch {mark}) & sleep 60"
        assert "did not end in 0.3 s" in why(tf_file, 1, 2, timeout=0.3, payload=f"sh -c {shlex.quote(line)}")
        assert found(tf_file, 100, 101, payload="sleep 1.5") == {}
        assert not mark.exists()
