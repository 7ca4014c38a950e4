"""How the exit buffer is read: over XRootD where there is a server, by file otherwise. What is read is counted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from django.conf import settings

from apps.runs.errors import RetryableError
from apps.stf.container.reader import LocalFile
from apps.stf.container.remote import Range, RemoteFile

log = logging.getLogger(__name__)


class Source(Protocol):
    """An open STF, with the number of requests for it and of bytes that came."""

    requests: int
    bytes_read: int

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""
        ...

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """The bytes of all ranges (offset, length)."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...


class LocalSource(LocalFile):
    """A file on this machine."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.requests = 0
        self.bytes_read = 0

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""
        data = super().read_at(offset, length)
        self.requests += 1
        self.bytes_read += len(data)
        return data

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """The bytes of all ranges (offset, length), one request each."""
        return [self.read_at(offset, length) for offset, length in ranges]


class ExitBuffer:
    """Opens STFs of the exit buffer by where it holds them."""

    def __init__(self) -> None:
        self._without_client = ""

    def open(self, file_url: str) -> Source:
        """An STF.

        Raises:
            RetryableError: the XRootD server is away, or there is no client for it and no other way.
            OSError: this file cannot be opened.
        """
        if not settings.SWF_E0_XROOTD or self._without_client:
            return LocalSource(Path(file_url))
        try:
            return RemoteFile(remote_url(file_url))
        except ImportError as error:
            self._do_without(error)
            return LocalSource(Path(file_url))

    def _do_without(self, error: ImportError) -> None:
        why = f"{settings.SWF_E0_XROOTD} cannot be read, the xrootd client is missing: {error}"
        if not settings.SWF_E0_BUFFER.is_dir():
            raise RetryableError(f"{why}; install it: pip install xrootd") from error
        log.warning("%s; the exit buffer is read by file", why)
        self._without_client = why


def below(server: str, path: str) -> str:
    """The URL of a path below what a server's URL names. Its last slash may have been left out, but not the two before."""
    return f"{server}{path}" if server.endswith("/") else f"{server}/{path}"


def remote_url(file_url: str) -> str:
    """The URL under which the XRootD server has this file of the exit buffer.

    Raises:
        FileNotFoundError: it does not lie in the exit buffer.
    """
    buffer: Path = settings.SWF_E0_BUFFER
    for path, root in ((Path(file_url), buffer), (Path(file_url).resolve(), buffer.resolve())):
        if path.is_relative_to(root):
            return below(settings.SWF_E0_XROOTD, str(path.relative_to(root)))
    raise FileNotFoundError(f"{file_url} is not in the exit buffer, {buffer}")
