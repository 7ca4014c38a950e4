"""One STF is sampled: header, index, the chosen blocks; every TF checked; TF files written and histograms filled.

No database here: this runs in threads of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from apps.runs.errors import RetryableError
from apps.stf.container.format import HIT, CorruptError
from apps.stf.container.reader import StfReader, TfEntry
from apps.stf.container.sampling import Block, Sampling, sampled_blocks
from apps.stf.histograms import Histograms, fill
from apps.stf.services import SampleRead, TfFileMade

from .sources import ExitBuffer, Source
from .tf_files import TfFiles, tf_filename

# Blocks are read together up to so many bytes: what is in memory is bounded, whatever the size of an STF.
MOST_BYTES = 32 << 20
BlockTfs = tuple[Block, list[TfEntry]]


@dataclass(frozen=True)
class Task:
    """A sample to be read: the STF, where it lies, and which of its TFs."""

    sample_id: int
    run_number: int
    sequence: int
    stf_filename: str
    file_url: str
    sampling: Sampling


@dataclass
class _Taken:
    """What has been read so far of one STF."""

    histograms: Histograms = field(default_factory=Histograms.empty)
    files: list[TfFileMade] = field(default_factory=list)
    corrupt_tfs: list[int] = field(default_factory=list)
    tf_count: int = 0
    hits: int = 0
    blocks: int = 0


def read_sample(task: Task, buffer: ExitBuffer, files: TfFiles) -> SampleRead:
    """Read a sample; what is wrong with the STF itself is said in the result.

    Raises:
        RetryableError: the exit buffer's server is away, or the TF files cannot be written.
    """
    started = time.perf_counter()
    try:
        with closing(buffer.open(task.file_url)) as source:
            return _read(task, source, files, started)
    except ConnectionError as error:
        raise RetryableError(f"the exit buffer does not answer: {error}") from error
    except FileNotFoundError:
        why = f"{task.stf_filename} is not in the exit buffer any more"
    except (ValueError, OSError) as error:  # a ContainerError is a ValueError
        why = str(error)
    return SampleRead(sample_id=task.sample_id, failed=why, read_seconds=time.perf_counter() - started)


def _read(task: Task, source: Source, files: TfFiles, started: float) -> SampleRead:
    reader = StfReader(source, task.stf_filename)
    header = reader.header
    blocks = sampled_blocks(
        task.sampling,
        run_number=task.run_number,
        sequence=task.sequence,
        tf_first=header.tf_first,
        tf_count=header.tf_count,
    )
    taken = _Taken()
    for group in _groups(reader, blocks):
        _take(task, reader, source.read_ranges(_ranges(group)), group, files, taken)
    return SampleRead(
        sample_id=task.sample_id,
        files=taken.files,
        tf_count=taken.tf_count,
        corrupt_tfs=taken.corrupt_tfs,
        begin=header.begin,
        histograms=taken.histograms,
        hits=taken.hits,
        bytes_read=source.bytes_read,
        requests=source.requests,
        read_seconds=time.perf_counter() - started,
    )


def _take(
    task: Task, reader: StfReader, data: list[bytes], group: Sequence[BlockTfs], files: TfFiles, taken: _Taken
) -> None:
    """Check what was read of some blocks, write a TF file for each, and add it to what is taken."""
    chunks = iter(data)
    pieces: list[memoryview] = []
    for block, entries in group:
        good = _checked(reader, [(span, next(chunks)) for span in _spans(entries)], taken)
        if good:
            bad = [tf for tf in taken.corrupt_tfs if block[0] <= tf <= block[1]]
            name = tf_filename(task.stf_filename, taken.blocks)
            taken.files.append(files.write(task.run_number, name, reader.header, block, good, bad))
        pieces += [piece for _, piece in good]
        taken.blocks += 1
    taken.histograms += fill(np.frombuffer(b"".join(pieces), HIT))


def _groups(reader: StfReader, blocks: Sequence[Block]) -> Iterator[list[BlockTfs]]:
    """The blocks with their TFs, as many together as may be in memory, but one at least."""
    group: list[BlockTfs] = []
    size = 0
    for block in blocks:
        entries = [reader.entry(tf) for tf in range(block[0], block[1] + 1)]
        length = sum(entry.length for entry in entries)
        if group and size + length > MOST_BYTES:
            yield group
            group, size = [], 0
        group.append((block, entries))
        size += length
    if group:
        yield group


def _spans(entries: Sequence[TfEntry]) -> list[list[TfEntry]]:
    """TFs that lie one behind the other in the file, together."""
    spans: list[list[TfEntry]] = []
    end = -1
    for entry in entries:
        if entry.offset != end:
            spans.append([])
        spans[-1].append(entry)
        end = entry.offset + entry.length
    return spans


def _ranges(group: Sequence[BlockTfs]) -> list[tuple[int, int]]:
    """Offset and length of each span of the blocks."""
    spans = [span for _, entries in group for span in _spans(entries)]
    return [(span[0].offset, span[-1].offset + span[-1].length - span[0].offset) for span in spans]


def _checked(
    reader: StfReader, spans: Sequence[tuple[Sequence[TfEntry], bytes]], taken: _Taken
) -> list[tuple[TfEntry, memoryview]]:
    """The TFs whose CRC is right; the numbers of the others are noted."""
    good = []
    for span, data in spans:
        view = memoryview(data)
        for entry in span:
            start = entry.offset - span[0].offset
            piece = view[start : start + entry.length]
            try:
                taken.hits += len(reader.decode(entry.tf, piece))
            except CorruptError:
                taken.corrupt_tfs.append(entry.tf)
            else:
                good.append((entry, piece))
    taken.tf_count += len(good)
    return good
