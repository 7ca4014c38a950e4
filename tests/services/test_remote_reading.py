"""The exit buffer read over a real XRootD server: the same bytes as by file, and a reason when the server is away."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from apps.agents.fastmon.reading import Task, read_sample
from apps.agents.fastmon.sampler import Sampler
from apps.agents.fastmon.sources import ExitBuffer
from apps.agents.fastmon.tf_files import TfFiles
from apps.runs.errors import RetryableError
from apps.runs.models import Run
from apps.stf.container.reader import StfReader
from apps.stf.container.remote import RemoteFile
from apps.stf.container.sampling import Sampling
from apps.stf.container.writer import write_stf
from apps.stf.models import FastMonFile
from services.ports import is_free
from services.storage import E0, FASTMON, storage_root
from services.xrootd.engine import PROGRAMS, XRootD
from tests.agents.fastmon.stfs import (
    START,
    TF_DURATION,
    a_sampled_run,
    expected_hits,
    sample_of,
    spec,
    states,
    waiting,
)
from tests.engines import Engines
from tests.services.catalogue import poll

pytestmark = [
    pytest.mark.services,
    pytest.mark.django_db,
    pytest.mark.skipif(any(shutil.which(program) is None for program in PROGRAMS), reason="no XRootD here"),
]

# The client gives up after 4 s, and looks at its clock once a second; left alone, it would try for minutes.
REASON_SECONDS = 30.0
# However long it takes, no sample is too old.
PATIENT = {"max_age_seconds": 600.0}


@pytest.fixture
def xrootd(engines: Engines, settings: object) -> XRootD:
    """Running servers, over the exit buffer and the TF files of these tests."""
    servers = engines.start("xrootd")
    assert isinstance(servers, XRootD)
    settings.SWF_E0_BUFFER = storage_root(servers.home, E0)  # type: ignore[attr-defined]
    settings.SWF_E0_XROOTD = servers.url(E0)  # type: ignore[attr-defined]
    settings.SWF_FASTMON_DIR = storage_root(servers.home, FASTMON)  # type: ignore[attr-defined]
    settings.SWF_FASTMON_XROOTD = servers.url(FASTMON)  # type: ignore[attr-defined]
    return servers


def server_of(servers: XRootD, store: str) -> psutil.Process:
    """The process that serves this store."""
    configuration = str(servers.directory / store / "xrootd.cfg")
    children = psutil.Process(servers.pid).children(recursive=True)
    [server] = [child for child in children if configuration in child.cmdline()]
    return server


@contextmanager
def standing_still(server: psutil.Process) -> Iterator[None]:
    """The server stopped, as by SIGSTOP."""
    server.suspend()
    try:
        yield
    finally:
        server.resume()


def step_until_read(sampler: Sampler, run: Run) -> None:
    """As the agent's loop does it: what is not begun in time, or not answered, is for the next step."""

    def read() -> bool:
        with suppress(RetryableError):
            sampler.step()
        return "waiting" not in states(run)

    poll(read, lambda: states(run))


def test_samples_are_the_same_as_by_file(xrootd: XRootD, settings: object) -> None:
    run = a_sampled_run()
    [stf] = waiting(run)
    sampling = Sampling(seed=1, rate=0.1, blocks=3)
    task = Task(1, run.run_number, 1, stf.stf_filename, stf.file_url, sampling)
    remote = read_sample(task, ExitBuffer(), TfFiles())
    settings.SWF_E0_XROOTD = ""  # type: ignore[attr-defined]
    local = read_sample(task, ExitBuffer(), TfFiles())
    assert remote.failed == ""
    assert (remote.requests, local.requests) == (4, 5)  # to open it counts; all blocks come in one
    assert remote == replace(local, requests=4, read_seconds=remote.read_seconds)


def test_tfs_that_are_larger_than_a_server_sends_at_once_are_read_whole(xrootd: XRootD) -> None:
    run = a_sampled_run()
    path = storage_root(xrootd.home, E0) / str(run) / "large.stf"
    path.parent.mkdir(parents=True, exist_ok=True)
    stf = replace(spec(run), tf_count=4, size_bytes=40_000_000, end=START + 4 * TF_DURATION)
    write_stf(path, stf, durable=False)
    file = RemoteFile(f"{xrootd.url(E0)}{run}/large.stf")
    with StfReader(path) as local:
        entries = [local.entry(tf) for tf in local.tf_numbers()]
        found = StfReader(file, "large.stf")
        data = file.read_ranges([(entry.offset, entry.length) for entry in entries])
        for entry, piece in zip(entries, data, strict=True):
            assert len(found.decode(entry.tf, piece)) == len(local.read_tf(entry.tf))
    assert file.requests > 3
    file.close()


def test_the_agent_samples_and_workers_can_read_what_it_has_written(xrootd: XRootD) -> None:
    run = a_sampled_run(**PATIENT)
    [stf, *_] = waiting(run, 3)
    step_until_read(Sampler(), run)
    assert states(run) == ["sampled"] * 3
    assert sample_of(stf).hits_by_detector == expected_hits(run)
    file = FastMonFile.objects.filter(sample__stf=stf)[0]
    assert file.file_url.startswith(xrootd.url(FASTMON))
    remote = RemoteFile(file.file_url)
    assert StfReader(remote, file.tf_filename).tf_numbers() == list(range(file.tf_first, file.tf_last + 1))
    remote.close()


def test_an_stf_that_is_gone_fails_with_the_reason(xrootd: XRootD) -> None:
    run = a_sampled_run(**PATIENT)
    gone, _ = waiting(run, 2)
    Path(gone.file_url).unlink()
    step_until_read(Sampler(), run)
    assert states(run) == ["failed", "sampled"]
    assert sample_of(gone).reason == f"{gone.stf_filename} is not in the exit buffer any more"


def test_a_killed_server_is_a_reason_until_it_is_back(xrootd: XRootD) -> None:
    run = a_sampled_run(**PATIENT)
    waiting(run, 3)
    sampler = Sampler()
    assert xrootd.pid
    os.kill(xrootd.pid, signal.SIGKILL)
    xrootd.stop()
    # Its servers are killed with it, but not in the same instant.
    poll(lambda: is_free(xrootd.port(E0)))
    started = time.monotonic()
    with pytest.raises(
        RetryableError, match=r"the exit buffer does not answer: root://.*([Cc]onnection|Socket) error"
    ):
        sampler.step()
    assert time.monotonic() - started < REASON_SECONDS
    assert states(run) == ["waiting"] * 3
    xrootd.start()
    step_until_read(sampler, run)
    assert states(run) == ["sampled"] * 3


def test_a_server_that_stands_still_is_a_reason_within_seconds(xrootd: XRootD) -> None:
    run = a_sampled_run(**PATIENT)
    waiting(run, 12)
    sampler = Sampler()
    with standing_still(server_of(xrootd, E0)):
        started = time.monotonic()
        # The request and the connection have the same time: either is noticed first.
        with pytest.raises(
            RetryableError, match=r"does not answer: root.*(Operation expired|Socket timeout)"
        ):
            sampler.step()
        assert time.monotonic() - started < REASON_SECONDS
    assert states(run) == ["waiting"] * 12
    step_until_read(sampler, run)
    assert states(run) == ["sampled"] * 12


def test_without_the_client_it_is_read_by_file(xrootd: XRootD, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_url: str) -> RemoteFile:
        raise ImportError("No module named 'XRootD'")

    monkeypatch.setattr("apps.agents.fastmon.sources.RemoteFile", missing)
    run = a_sampled_run(**PATIENT)
    waiting(run)
    step_until_read(Sampler(), run)
    assert states(run) == ["sampled"]


def test_without_the_client_and_the_files_there_is_a_reason(
    xrootd: XRootD, settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_url: str) -> RemoteFile:
        raise ImportError("No module named 'XRootD'")

    run = a_sampled_run(**PATIENT)
    waiting(run)
    monkeypatch.setattr("apps.agents.fastmon.sources.RemoteFile", missing)
    monkeypatch.setattr("apps.agents.fastmon.sources.remote_url", str)
    settings.SWF_E0_BUFFER = Path("/nowhere")  # type: ignore[attr-defined]
    with pytest.raises(RetryableError, match=r"the xrootd client is missing.*install it: pip install xrootd"):
        Sampler().step()
