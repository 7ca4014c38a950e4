"""What a worker makes of a slice: an exact summary of its time frames, or what a command of the user's finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from apps.stf.container.detectors import DETECTORS
from apps.stf.container.format import ContainerError
from apps.stf.container.reader import StfReader

from ..bus.fast_schemas import SliceContent
from .command import run_command
from .sources import opened


class SliceFailed(Exception):
    """The slice cannot be processed; the text says why."""


def process(given: SliceContent, *, timeout: float, scratch: Path | None = None) -> dict[str, Any]:
    """What is found in the slice.

    Args:
        timeout: seconds that a command may take.
        scratch: where it works; without, where the system keeps temporary files.

    Raises:
        SliceFailed: with the reason.
    """
    if not given.file_url:
        raise SliceFailed("file_url is missing: it is not known where the TF file lies")
    try:
        if given.payload:
            return run_command(
                given.payload, given.file_url, given.start, given.end, timeout=timeout, scratch=scratch
            )
        return summary(given.file_url, given.start, given.end)
    except ImportError as error:
        raise SliceFailed(
            f"{given.file_url} cannot be read: {error}; install the client: pip install xrootd"
        ) from error
    except (ContainerError, OSError) as error:
        raise SliceFailed(str(error)) from error


def summary(url: str, first: int, last: int) -> dict[str, Any]:
    """Count the hits of TFs `first` to `last`, as far as the TF file has them, in one read. Each TF's CRC is checked.

    Returns:
        `tfs` and `hits`, `hits_by_detector` in the order of the detectors' numbers, and `missing_tfs`, the numbers of
        those that were left out of the file.

    Raises:
        ContainerError, OSError: the file cannot be read, or a CRC is wrong.
    """
    by_detector = np.zeros(len(DETECTORS), np.int64)
    with opened(url) as source:
        file = StfReader(source, url)
        entries = [file.entry(tf) for tf in file.tf_numbers() if first <= tf <= last]
        if entries:
            begin, end = entries[0].offset, entries[-1].offset + entries[-1].length
            block = source.read_at(begin, end - begin)
        for entry in entries:
            at = entry.offset - begin
            hits = file.decode(entry.tf, block[at : at + entry.length])
            by_detector += np.bincount(hits["detector"], minlength=len(DETECTORS))[: len(DETECTORS)]
    found = {entry.tf for entry in entries}
    return {
        "tfs": len(entries),
        "hits": int(by_detector.sum()),
        "hits_by_detector": by_detector.tolist(),
        "missing_tfs": [tf for tf in range(first, last + 1) if tf not in found],
    }
