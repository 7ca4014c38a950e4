"""Where a worker reads TF files: a path, or the URL of an XRootD server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from apps.stf.container.reader import LocalFile, RangeSource
from apps.stf.container.remote import RemoteFile

# A server that is away is waited for, and not blamed on slice after slice; less long than a lease lasts.
PATIENCE_SECONDS = 10.0
PAUSE_SECONDS = 1.0


@contextmanager
def opened(url: str) -> Iterator[RangeSource]:
    """The file.

    Raises:
        ImportError: it is on an XRootD server, and this machine has no client for those.
        OSError: it cannot be opened; `ConnectionError`, if its server does not come back soon.
    """
    with closing(_patiently(url) if "://" in url else LocalFile(Path(url))) as source:
        yield source


def _patiently(url: str) -> RemoteFile:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return RemoteFile(url)
        except ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_SECONDS)
