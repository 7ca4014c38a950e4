"""The sampler: skips what has waited too long, reads what waits, and says what it has found."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from django.db import transaction

from apps.runs.errors import RetryableError
from apps.stf import selectors, services
from apps.stf.container.sampling import Sampling
from apps.stf.fast_parameters import fastmon_parameters
from apps.stf.models import FastMonSample
from apps.stf.services import SampleRead

from ..choices import IncidentKind
from ..services import Trouble, open_incidents
from .reading import Task, read_sample
from .sources import ExitBuffer
from .tf_files import TfFiles

MOST_SAMPLES = 32
READERS = 4
# What is not begun by then waits for the next step, so that what has been read is not kept from the plots by large STFs.
STEP_SECONDS = 0.3


class Sampler:
    """Its step is the loop `sampler` of the fastmon agent."""

    def __init__(self, buffer: ExitBuffer | None = None) -> None:
        self._buffer = buffer or ExitBuffer()
        self._files = TfFiles()
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="reader")

    def step(self) -> bool:
        """Decide a batch of samples, the newest first; True when there may be more.

        Raises:
            RetryableError: the exit buffer's server is away, or TF files cannot be written. What was read before counts.
        """
        samples = selectors.samples_to_read(limit=MOST_SAMPLES)
        if len(samples) == MOST_SAMPLES or any(selectors.is_stale(sample) for sample in samples):
            _shed()
            samples = selectors.samples_to_read(limit=MOST_SAMPLES)
        reads, trouble = self._read([_task(sample) for sample in samples])
        _decide(reads)
        if trouble:
            raise RetryableError(trouble)
        return len(samples) == MOST_SAMPLES or len(reads) < len(samples)

    def _read(self, tasks: Sequence[Task]) -> tuple[list[SampleRead], str]:
        """What was read, and why the rest was not, if something outside is the reason."""
        batch = _Batch(self._buffer, self._files, time.monotonic() + STEP_SECONDS)
        reads = [read for read in self._pool.map(batch.read, tasks) if read]
        return reads, batch.trouble


class _Batch:
    """The reading of one step, by several threads. The first trouble with something outside ends it for all."""

    def __init__(self, buffer: ExitBuffer, files: TfFiles, until: float) -> None:
        self.trouble = ""
        self._buffer = buffer
        self._files = files
        self._until = until
        self._begun = threading.Event()

    def read(self, task: Task) -> SampleRead | None:
        """The sample, or None if there was no time for it, or trouble."""
        if self.trouble or (self._begun.is_set() and time.monotonic() > self._until):
            return None
        self._begun.set()
        try:
            return read_sample(task, self._buffer, self._files)
        except RetryableError as error:
            self.trouble = str(error)
            return None


def _shed() -> None:
    """Skip all that has waited too long."""
    for run, ids in selectors.stale_samples():
        seconds = fastmon_parameters(run).max_age_seconds
        reason = f"not read within {seconds:g} s (fastmon.max_age_seconds) after the STF was closed"
        services.skip_samples(run, ids, reason=reason)


def _task(sample: FastMonSample) -> Task:
    parameters = fastmon_parameters(sample.run)
    return Task(
        sample_id=sample.pk,
        run_number=sample.run.run_number,
        sequence=sample.sequence,
        stf_filename=sample.stf.stf_filename,
        file_url=sample.stf.file_url,
        sampling=Sampling(
            seed=parameters.sampling_seed,
            rate=parameters.stf_sampling_rate,
            blocks=parameters.tf_files_per_stf,
            block_length=parameters.tfs_per_file,
        ),
    )


@transaction.atomic
def _decide(reads: Sequence[SampleRead]) -> None:
    """Samples and the incidents that they open, in one: neither is known without the other."""
    decided = services.decide_samples(reads)
    open_incidents(
        [
            Trouble(IncidentKind.CORRUPT_TF, sample.stf.stf_filename, _corrupt(sample), sample.run)
            for sample in decided
            if sample.corrupt_tfs
        ]
    )


def _corrupt(sample: FastMonSample) -> str:
    tfs = ", ".join(map(str, sample.corrupt_tfs[:10]))
    more = f" and {len(sample.corrupt_tfs) - 10} more" if len(sample.corrupt_tfs) > 10 else ""
    return f"the CRC of {len(sample.corrupt_tfs)} of the TFs that were read is wrong: {tfs}{more}"
