"""The sampler: what waits is read and decided exactly once, trouble stays with the STF whose it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.utils import timezone

from apps.agents.fastmon import sampler as module
from apps.agents.fastmon.handlers import stf_is_ready, stfs_are_ready
from apps.agents.fastmon.reading import read_sample
from apps.agents.fastmon.sampler import Sampler
from apps.agents.fastmon.sources import ExitBuffer, LocalSource
from apps.agents.models import Incident
from apps.runs.errors import RetryableError
from apps.runs.journal import current_cause
from apps.runs.models import JournalEntry, Run
from apps.stf import selectors
from apps.stf.container.checksum import adler32_file
from apps.stf.container.reader import StfReader
from apps.stf.histograms import fill
from apps.stf.models import FastMonFile
from tests.agents.fastmon.stfs import (
    SIZE,
    TF_DURATION,
    a_sampled_run,
    an_stf,
    announce,
    blocks_of,
    corrupt,
    expected_hits,
    sample_of,
    sampled_tfs,
    spec,
    states,
    stf_ready,
    waiting,
)
from tests.factories import kinds, registered

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def test_what_stands_in_the_histograms_is_what_was_simulated(sampler: Sampler) -> None:
    run = a_sampled_run()
    [stf] = waiting(run)
    assert sampler.step() is False

    sample = sample_of(stf)
    assert (sample.state, sample.reason) == ("sampled", "")
    assert sample.hits_by_detector == expected_hits(run)
    assert (sample.tf_count, sample.hits) == (10, sum(expected_hits(run)))
    with StfReader(Path(stf.file_url)) as reader:
        hits = np.concatenate([reader.read_tf(tf) for tf in sampled_tfs(run)])
    assert selectors.run_histograms(run) == fill(hits)


def test_far_fewer_bytes_are_read_than_the_stf_has(sampler: Sampler) -> None:
    run = a_sampled_run(stf_sampling_rate=0.05)
    [stf] = waiting(run)
    sampler.step()
    sample = sample_of(stf)
    assert 0 < sample.bytes_read < 0.1 * SIZE
    assert sample.requests == 2 + 3  # header, index, three blocks


def test_each_block_becomes_a_tf_file_that_can_be_read(sampler: Sampler, tf_directory: Path) -> None:
    run = a_sampled_run()
    [stf] = waiting(run)
    sampler.step()
    files = list(FastMonFile.objects.filter(sample__stf=stf))
    assert [(file.tf_first, file.tf_last) for file in files] == blocks_of(run)
    stem = stf.stf_filename.removesuffix(".stf")
    assert [file.tf_filename for file in files] == [f"{stem}_tf_{n:03d}.tf" for n in (0, 1, 2)]
    with StfReader(Path(stf.file_url)) as original:
        for file in files:
            path = tf_directory / str(run.run_number) / file.tf_filename
            assert (file.file_url, file.file_size_bytes) == (str(path), path.stat().st_size)
            assert file.checksum == adler32_file(path)
            with StfReader(path) as excerpt:
                assert excerpt.tf_numbers() == list(range(file.tf_first, file.tf_last + 1))
                assert all(np.array_equal(hits, original.read_tf(tf)) for tf, hits in excerpt)
                assert excerpt.header.tf_first == file.tf_first
                assert excerpt.header.begin == spec(run).begin + file.tf_first * TF_DURATION
                assert excerpt.header.sequence == stf.sequence


def test_all_that_wait_are_decided_and_said_once(sampler: Sampler) -> None:
    run = a_sampled_run()
    waiting(run, 5)
    for _ in range(2):
        sampler.step()
    assert states(run) == ["sampled"] * 5
    assert kinds(run, "tf_file_registered") == ["tf_file_registered"] * 15
    assert selectors.run_histograms(run).hits == sum(sum(expected_hits(run, n)) for n in range(1, 6))
    assert set(run.samples.values_list("slicing", flat=True)) == {"waiting"}


def test_messages_make_samples_of_runs_that_want_them() -> None:
    run, other = a_sampled_run(), a_sampled_run(stf_sampling_rate=0.0)
    first, second, *_ = registered(*(an_stf(run, sequence) for sequence in (1, 2)))
    [unwanted] = registered(an_stf(other))
    cause = current_cause()
    stfs_are_ready([stf_ready(stf) for stf in (first, second, unwanted)], [cause] * 3)
    stf_is_ready(stf_ready(first))
    assert states(run) == ["waiting"] * 2
    assert states(other) == []


class Killed(BaseException):
    """As SIGKILL: nothing after it happens."""


def dying(at: str) -> Callable[..., Any]:
    """A wrapper of statements that dies before the first one with these words."""

    def execute_or_die(execute: Callable[..., Any], statement: str, *rest: Any) -> Any:
        if at in statement:
            raise Killed
        return execute(statement, *rest)

    return execute_or_die


@pytest.mark.parametrize(
    "at",
    [
        "FOR UPDATE OF",
        'INSERT INTO "stf_fastmonfile"',
        'INSERT INTO "stf_histogramwindow"',
        'INSERT INTO "runs_journal',
    ],
)
def test_killed_after_the_files_it_does_all_again_and_once(
    sampler: Sampler, tf_directory: Path, at: str
) -> None:
    run = a_sampled_run()
    [stf] = waiting(run)
    with connection.execute_wrapper(dying(at)), pytest.raises(Killed):
        sampler.step()
    before = {path.name: path.read_bytes() for path in tf_directory.rglob("*.tf")}
    assert len(before) == 3
    assert sample_of(stf).state == "waiting"
    assert FastMonFile.objects.count() == 0

    Sampler().step()
    assert {path.name: path.read_bytes() for path in tf_directory.rglob("*.tf")} == before
    assert sample_of(stf).state == "sampled"
    assert FastMonFile.objects.count() == 3
    assert selectors.run_histograms(run).hits == sum(expected_hits(run))


def test_killed_after_the_transaction_nothing_is_done_again(sampler: Sampler) -> None:
    run = a_sampled_run()
    waiting(run)
    sampler.step()
    entries = JournalEntry.objects.count()
    Sampler().step()
    assert JournalEntry.objects.count() == entries
    assert selectors.run_histograms(run).hits == sum(expected_hits(run))


def test_two_that_read_the_same_sample_count_it_once(sampler: Sampler) -> None:
    run = a_sampled_run()
    [stf] = waiting(run)
    task = module._task(selectors.samples_to_read(limit=1)[0])
    read = read_sample(task, ExitBuffer(), module.TfFiles())
    sampler.step()
    module._decide([read])
    assert FastMonFile.objects.filter(sample__stf=stf).count() == 3
    assert selectors.run_histograms(run).hits == sum(expected_hits(run))


def test_a_corrupt_tf_is_left_out_and_opens_an_incident_once(sampler: Sampler, tf_directory: Path) -> None:
    run = a_sampled_run()
    [stf] = waiting(run)
    first, *_, last = blocks_of(run)
    bad = [first[0] + 1, last[1]]
    corrupt(stf, *bad)
    sampler.step()
    sampler.step()

    sample = sample_of(stf)
    assert (sample.state, sample.corrupt_tfs, sample.tf_count) == ("sampled", bad, 8)
    files = list(FastMonFile.objects.order_by("tf_first"))
    assert [(file.corrupt_tfs, file.tf_count) for file in files] == [([bad[0]], 3), ([], 3), ([bad[1]], 2)]
    with StfReader(tf_directory / str(run.run_number) / files[0].tf_filename) as excerpt:
        assert excerpt.tf_numbers() == [tf for tf in range(first[0], first[1] + 1) if tf not in bad]
    incident = Incident.objects.get()
    assert (incident.kind, incident.subject, incident.run) == ("corrupt_tf", stf.stf_filename, run)
    assert incident.reason == f"the CRC of 2 of the TFs that were read is wrong: {bad[0]}, {bad[1]}"
    assert kinds(run, "incident_opened") == ["incident_opened"]


def test_a_block_of_corrupt_tfs_has_no_file(sampler: Sampler) -> None:
    run = a_sampled_run(stf_sampling_rate=0.03)
    [stf] = waiting(run)
    corrupt(stf, *sampled_tfs(run))
    sampler.step()
    sample = sample_of(stf)
    assert (sample.state, sample.tf_count, sample.slicing) == ("sampled", 0, "off")
    assert sample.corrupt_tfs == sampled_tfs(run)
    assert FastMonFile.objects.count() == 0


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def no_container(path: Path) -> None:
    path.write_bytes(b"root" * 1000)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (truncate, "the header promises"),
        (empty, "a header has 128 bytes"),
        (no_container, "an STF file begins with"),
        (Path.unlink, "is not in the exit buffer any more"),
    ],
)
def test_a_bad_stf_fails_with_its_reason_and_holds_up_nobody(
    sampler: Sampler, spoil: Callable[[Path], None], reason: str
) -> None:
    run = a_sampled_run()
    bad, _ = waiting(run, 2)
    spoil(Path(bad.file_url))
    sampler.step()
    assert states(run) == ["failed", "sampled"]
    assert reason in sample_of(bad).reason
    assert sample_of(bad).reason.startswith(bad.stf_filename)
    assert run.journal.get(kind="sample_failed").payload["sequence"] == 1


def test_an_stf_that_is_removed_while_it_is_read_is_read_to_its_end(sampler: Sampler) -> None:
    class Removing(ExitBuffer):
        def open(self, file_url: str) -> LocalSource:
            source = LocalSource(Path(file_url))
            Path(file_url).unlink()
            return source

    run = a_sampled_run()
    waiting(run)
    Sampler(Removing()).step()
    assert states(run) == ["sampled"]


def test_what_has_waited_too_long_is_skipped_with_the_reason(sampler: Sampler) -> None:
    run = a_sampled_run(max_age_seconds=60.0)
    waiting(run, 2, generated_at=timezone.now() - timedelta(seconds=61))
    [fresh] = registered(an_stf(run, 3))
    announce(fresh)
    sampler.step()
    assert states(run) == ["skipped", "skipped", "sampled"]
    reason = "not read within 60 s (fastmon.max_age_seconds) after the STF was closed"
    assert run.journal.get(kind="samples_skipped").payload == {
        "count": 2,
        "sequences": [1, 2],
        "reason": reason,
    }
    run.fast.refresh_from_db()
    assert run.fast.stf_samples_skipped == 2


class AwayAfter(ExitBuffer):
    """An exit buffer whose server goes away after so many STFs."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.left = count
        self.asked = 0

    def open(self, file_url: str) -> Any:
        self.asked += 1
        self.left -= 1
        if self.left < 0:
            raise ConnectionError("root://nowhere: Operation expired")
        return super().open(file_url)


def test_a_server_that_is_away_is_a_reason_and_the_samples_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READERS", 1)
    run = a_sampled_run()
    waiting(run, 5)
    buffer = AwayAfter(2)
    with pytest.raises(RetryableError, match="the exit buffer does not answer: root://nowhere"):
        Sampler(buffer).step()
    assert states(run) == ["waiting"] * 3 + ["sampled"] * 2  # the newest come first
    assert buffer.asked == 3  # the others are not tried, each would wait for its own time-out
    Sampler().step()
    assert states(run) == ["sampled"] * 5


def test_tf_files_that_cannot_be_written_are_a_reason(sampler: Sampler, tf_directory: Path) -> None:
    run = a_sampled_run()
    waiting(run)
    tf_directory.write_text("no directory")
    with pytest.raises(RetryableError, match="cannot be written: Not a directory"):
        sampler.step()
    assert states(run) == ["waiting"]


def test_large_stfs_do_not_keep_what_has_been_read_from_the_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEP_SECONDS", 0.0)
    monkeypatch.setattr(module, "READERS", 1)
    run = a_sampled_run()
    waiting(run, 3)
    sampler = Sampler()
    assert [sampler.step() for _ in range(3)] == [True, True, False]
    assert states(run) == ["sampled"] * 3


def test_blocks_are_read_apart_where_they_are_large(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.agents.fastmon.reading.MOST_BYTES", 1)
    run = a_sampled_run()
    [stf] = waiting(run)
    sampler.step()
    assert sample_of(stf).hits_by_detector == expected_hits(run)
    assert FastMonFile.objects.count() == 3


def test_runs_are_sampled_by_their_own_parameters(sampler: Sampler) -> None:
    few: Run = a_sampled_run(stf_sampling_rate=0.02, tf_files_per_stf=1)
    many: Run = a_sampled_run(tfs_per_file=8, slices_per_sample=0)
    [one], [other] = waiting(few), waiting(many)
    sampler.step()
    assert (sample_of(one).tf_count, sample_of(one).files.count()) == (2, 1)
    assert (sample_of(other).tf_count, sample_of(other).files.count()) == (24, 3)
    assert sample_of(other).slicing == "off"


def test_the_agent_brings_no_xrootd_client_until_it_reads() -> None:
    """Its threads would not survive a fork."""
    program = (
        "import os, sys, django\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'swf_site.settings'\n"
        "django.setup()\n"
        "import apps.agents.fastmon.agent\n"
        "assert 'XRootD' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
