"""The TF files: written before the database knows them, removed when nobody needs them any more."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from apps.runs.errors import RetryableError
from apps.stf import selectors, services
from apps.stf.container.excerpt import write_excerpt
from apps.stf.container.format import StfHeader
from apps.stf.container.reader import TfEntry
from apps.stf.container.sampling import Block
from apps.stf.services import TfFileMade

from .sources import below

MOST_FILES = 500
# The database has room for 250; slices append to the name of their TF file.
LONGEST_STEM = 220


def tf_filename(stf_filename: str, number: int) -> str:
    """The name of an STF's TF file; they are counted from 0."""
    return f"{stf_filename.removesuffix('.stf')[-LONGEST_STEM:]}_tf_{number:03d}.tf"


class TfFiles:
    """The directory of the TF files, with one directory in it for each run."""

    def write(
        self,
        run_number: int,
        name: str,
        header: StfHeader,
        block: Block,
        tfs: Sequence[tuple[TfEntry, memoryview]],
        corrupt_tfs: list[int],
    ) -> TfFileMade:
        """Write the good TFs of a block; written again it is the same file.

        Raises:
            RetryableError: the file system does not take it.
        """
        path = _directory() / str(run_number) / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            written = write_excerpt(path, header, block, tfs)
        except OSError as error:
            raise RetryableError(
                f"the TF file {path} cannot be written: {error.strerror or error}"
            ) from error
        remote: str = settings.SWF_FASTMON_XROOTD
        return TfFileMade(
            tf_filename=name,
            file_url=below(remote, f"{run_number}/{name}") if remote else str(path),
            file_size_bytes=written.size_bytes,
            checksum=written.adler32,
            tf_first=block[0],
            tf_last=block[1],
            tf_count=len(tfs),
            corrupt_tfs=corrupt_tfs,
        )


class Sweeper:
    """Its step is the loop `sweeper` of the fastmon agent."""

    def __init__(self) -> None:
        self._started_at = time.time()
        self._is_clean = False

    def step(self) -> bool:
        """Remove a batch of TF files that nobody needs any more; True when there may be more.

        First the file, then the word for it: killed in between, the next step finds nothing to delete and says it.
        """
        if not self._is_clean:
            self._remove_leftovers()
            self._is_clean = True
        files = selectors.files_to_remove(limit=MOST_FILES)
        directories = set()
        for file in files:
            path = _directory() / str(file.sample.run.run_number) / file.tf_filename
            path.unlink(missing_ok=True)
            directories.add(path.parent)
        services.mark_removed([file.pk for file in files])
        for directory in directories:
            with suppress(OSError):  # it is not empty
                directory.rmdir()
        return len(files) == MOST_FILES

    def _remove_leftovers(self) -> None:
        """What a killed predecessor had begun to write."""
        for part in _directory().glob("*/.*.part"):
            with suppress(FileNotFoundError):
                if part.stat().st_mtime < self._started_at:
                    part.unlink()


def _directory() -> Path:
    directory: Path = settings.SWF_FASTMON_DIR
    return directory
