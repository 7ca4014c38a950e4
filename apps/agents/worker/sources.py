"""Where a worker reads TF files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from apps.stf.container.reader import LocalFile, RangeSource


@contextmanager
def opened(url: str) -> Iterator[RangeSource]:
    """The file at this path.

    Raises:
        OSError: it cannot be opened.
    """
    with closing(LocalFile(Path(url))) as source:
        yield source
