"""Copies by XRootD: the servers pass the bytes on directly, verified and blamed as by POSIX means."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.base import Engine, EngineError
from services.rucio.settings import SCOPE
from services.storage import E0, E1, RSES, storage_root
from services.xrootd.engine import PROGRAMS, XRootD
from tests.engines import Engines
from tests.services.catalogue import Catalogue, poll

installed = pytest.mark.skipif(
    any(shutil.which(program) is None for program in PROGRAMS), reason="no XRootD here"
)


@pytest.fixture(scope="module")
def xrootd(engines: Engines, rucio: Engine) -> Iterator[XRootD]:
    """Running XRootD servers, and Rucio switched over to them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWF_TRANSFER", "xrootd")
        servers = engines.start("xrootd")
        assert isinstance(servers, XRootD)
        rucio.stop()
        rucio.start()
        yield servers
    rucio.stop()
    rucio.start()


@pytest.mark.services
@installed
def test_bytes_arrive_by_third_party_copy(xrootd: XRootD, rucio: Engine) -> None:
    catalogue = Catalogue(rucio)
    files = catalogue.write(4, size=500_000)
    catalogue.register(files)
    catalogue.wait_verified(files)
    used = {catalogue.client.list_request_history_by_did(files[0].name, rse, SCOPE)["dest_url"] for rse in E1}
    assert all(url.startswith(tuple(xrootd.url(rse) for rse in E1)) for url in used)
    _assert_no_drafts(rucio.home)


@pytest.mark.services
@installed
def test_an_altered_source_is_blamed(xrootd: XRootD, rucio: Engine) -> None:
    catalogue = Catalogue(rucio)
    altered, missing = files = catalogue.write(2)
    before = altered.path.stat()
    altered.path.write_bytes(altered.content[:-1] + bytes([altered.content[-1] ^ 1]))
    # As a failing disk does it, so that no date betrays it.
    os.utime(altered.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    missing.path.unlink()
    catalogue.register(files)
    catalogue.wait(lambda rule: rule["state"] == "STUCK" and rule["locks_stuck_cnt"] == 2)
    for rse in E1:
        assert _why(catalogue, altered.name, rse).startswith("source file altered: adler32 ")
        assert _why(catalogue, missing.name, rse).startswith("source file missing: root://")
        assert not catalogue.copy_at(rse, altered).exists()
    _assert_no_drafts(rucio.home)


@pytest.mark.services
@installed
def test_copies_survive_killed_servers(xrootd: XRootD, rucio: Engine) -> None:
    catalogue = Catalogue(rucio)
    files = catalogue.write(6)
    catalogue.register(files)
    assert xrootd.pid
    os.kill(xrootd.pid, signal.SIGKILL)
    xrootd.stop()
    # The servers must not outlive the program that runs them: their ports would be taken.
    poll(lambda: xrootd.ready() is not None)
    xrootd.start()
    catalogue.wait_verified(files)


@pytest.mark.services
@installed
def test_a_part_of_a_file_can_be_read_remotely(xrootd: XRootD) -> None:
    path = storage_root(xrootd.home, E0) / "remote" / "one"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"0123456789")
    url = f"{xrootd.environment()['SWF_E0_XROOTD']}remote/one"
    read = subprocess.run(["xrdcp", "--silent", url, "-"], capture_output=True, timeout=30, check=True)
    assert read.stdout == b"0123456789"


def test_the_choice_of_transfers_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = XRootD(tmp_path)
    monkeypatch.setenv("SWF_TRANSFER", "posix")
    assert not engine.embedded()
    monkeypatch.setenv("SWF_TRANSFER", "fts")
    with pytest.raises(EngineError, match="SWF_TRANSFER=fts: must be auto, xrootd or posix"):
        engine.embedded()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SWF_TRANSFER", "auto")
    assert not engine.embedded()
    monkeypatch.setenv("SWF_TRANSFER", "xrootd")
    with pytest.raises(EngineError, match="not found"):
        engine.embedded()


def _why(catalogue: Catalogue, name: str, rse: str) -> str:
    return str(catalogue.client.list_request_history_by_did(name, rse, SCOPE)["err_msg"])


def _assert_no_drafts(home: Path) -> None:
    left = [
        path for rse in RSES for path in (storage_root(home, rse) / ".incoming").rglob("*") if path.is_file()
    ]
    assert not left
