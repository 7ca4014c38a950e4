"""STFs with real bytes in the exit buffer, waiting for being sampled, and what is known of their content."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings

from apps.agents.bus.schemas import StfReady
from apps.runs.models import Run
from apps.stf import services
from apps.stf.container.content import hit_counts
from apps.stf.container.reader import StfReader
from apps.stf.container.sampling import Sampling, sampled_blocks
from apps.stf.container.writer import StfSpec, write_stf
from apps.stf.fast_parameters import fastmon_parameters
from apps.stf.messages import stf_fields
from apps.stf.models import FastMonSample, StfFile
from tests import factories
from tests.factories import registered

TFS = 100
SIZE = 200_000
START = datetime(2026, 7, 1, 12, tzinfo=UTC)
TF_DURATION = timedelta(microseconds=665)


def a_sampled_run(**overrides: Any) -> Run:
    """A run that takes data and is sampled: a tenth of the TFs, in three blocks."""
    return factories.a_running_run(**{"stf_sampling_rate": 0.1} | overrides)


def spec(run: Run, sequence: int = 1, **changes: Any) -> StfSpec:
    """An STF as the DAQ would write it."""
    begin = START + (sequence - 1) * TFS * TF_DURATION
    fields: dict[str, Any] = {
        "run_number": run.run_number,
        "sequence": sequence,
        "tf_first": (sequence - 1) * TFS,
        "tf_count": TFS,
        "state": "run",
        "substate": "physics",
        "begin": begin,
        "end": begin + TFS * TF_DURATION,
        "size_bytes": SIZE,
        "seed": 1,
    }
    return StfSpec(**fields | changes)


def an_stf(run: Run, sequence: int = 1, **changes: Any) -> StfFile:
    """An announced STF with simulated hits in the exit buffer; `changes` of what the DAQ says."""
    path: Path = settings.SWF_E0_BUFFER / str(run.run_number) / f"swf.{run.run_number}.{sequence:06d}.stf"
    path.parent.mkdir(parents=True, exist_ok=True)
    written = write_stf(path, spec(run, sequence), durable=False)
    content = path.read_bytes()
    return factories.an_stf(
        run,
        sequence,
        content=content,
        tf_first=written.tf_first,
        tf_count=written.tf_count,
        **changes,
    )


def waiting(run: Run, count: int = 1, **changes: Any) -> list[StfFile]:
    """The first STFs of a run, registered and waiting for being sampled."""
    stfs = registered(*(an_stf(run, sequence, **changes) for sequence in range(1, count + 1)))
    announce(*stfs)
    return stfs


def announce(*stfs: StfFile) -> None:
    """What the agent does with `stf_ready`."""
    services.announce_samples([stf.stf_filename for stf in stfs])


def stf_ready(stf: StfFile) -> StfReady:
    """The message."""
    return StfReady(run_id=str(stf.run), dataset=f"group.daq:swf.{stf.run}.run", **stf_fields(stf))


def sample_of(stf: StfFile) -> FastMonSample:
    """Its sample as it is now."""
    return FastMonSample.objects.get(stf=stf)


def states(run: Run) -> list[str]:
    """Of the run's samples, in order."""
    return list(FastMonSample.objects.filter(run=run).order_by("sequence").values_list("state", flat=True))


def blocks_of(run: Run, sequence: int = 1) -> list[tuple[int, int]]:
    """The TFs of an STF that are to be read."""
    parameters = fastmon_parameters(run)
    return sampled_blocks(
        Sampling(
            seed=parameters.sampling_seed,
            rate=parameters.stf_sampling_rate,
            blocks=parameters.tf_files_per_stf,
            block_length=parameters.tfs_per_file,
        ),
        run_number=run.run_number,
        sequence=sequence,
        tf_first=(sequence - 1) * TFS,
        tf_count=TFS,
    )


def sampled_tfs(run: Run, sequence: int = 1) -> list[int]:
    """Their numbers."""
    return [tf for first, last in blocks_of(run, sequence) for tf in range(first, last + 1)]


def expected_hits(run: Run, sequence: int = 1) -> list[int]:
    """Hits by detector of the sampled TFs, from the identity of the STF alone."""
    stf = spec(run, sequence)
    rows = np.array(sampled_tfs(run, sequence)) - stf.tf_first
    expected: list[int] = hit_counts(stf.identity)[rows].sum(axis=0).tolist()
    return expected


def corrupt(stf: StfFile, *tfs: int) -> None:
    """Change a byte of each of these TFs."""
    path = Path(stf.file_url)
    with StfReader(path) as reader:
        offsets = [reader.entry(tf).offset for tf in tfs]
    content = bytearray(path.read_bytes())
    for offset in offsets:
        content[offset] ^= 1
    path.write_bytes(bytes(content))
