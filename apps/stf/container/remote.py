"""A file behind an XRootD server as a `RangeSource`; stands alone, on the `xrootd` wheel.

The wheel is imported with the first file that is opened: its threads do not survive a fork, so a process that forks
does so before. What goes wrong has the exceptions of Python's own files: `ConnectionError` if the server is away or does
not answer, `FileNotFoundError`, or another `OSError` with what the server says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from typing import Any

# The client's own defaults are minutes: a server that is away or stands still shall be a reason within seconds.
ANSWER_SECONDS = 4
CLIENT_SETTINGS = {
    "ConnectionWindow": 2,
    "ConnectionRetry": 1,
    "RequestTimeout": ANSWER_SECONDS,
    "StreamTimeout": ANSWER_SECONDS,
    "StreamErrorWindow": 0,  # a server that is back is asked at once
    "TimeoutResolution": 1,
}
# Of one vector read: XRootD's own limits, and no more bytes than a slow network carries before the answer is given up.
MOST_RANGES = 1024
MOST_RANGE_BYTES = 2_097_136
MOST_REQUEST_BYTES = 16 << 20

SERVER_SAYS, NOT_FOUND = 400, 3011
Range = tuple[int, int]


class RemoteFile:
    """An open file; its connection is shared by all files of a server, and kept."""

    def __init__(self, url: str) -> None:
        """Open `url`, such as `root://host:1094//path`.

        Raises:
            ImportError: the `xrootd` wheel is not installed, or does not fit to this machine.
            OSError: as the module says.
        """
        self.requests = 0
        self.bytes_read = 0
        self._url = url
        self._file: Any = _client().File()
        self._answer(self._file.open(url, timeout=ANSWER_SECONDS))

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""
        data: bytes = self._answer(self._file.read(offset, length, timeout=ANSWER_SECONDS))
        self.bytes_read += len(data)
        return data

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """The bytes of all ranges (offset, length), which must be in the file, in as few requests as the server allows."""
        pieces: list[list[bytes]] = [[] for _ in ranges]
        for request in _requests(ranges):
            found = self._answer(
                self._file.vector_read([piece for _, piece in request], timeout=ANSWER_SECONDS)
            )
            for (position, _), chunk in zip(request, found.chunks, strict=True):
                pieces[position].append(chunk.buffer)
                self.bytes_read += len(chunk.buffer)
        return [parts[0] if len(parts) == 1 else b"".join(parts) for parts in pieces]

    def close(self) -> None:
        """Give the file back to the server, if it is still there to take it."""
        if self._file.is_open():
            self._file.close(timeout=ANSWER_SECONDS)

    def _answer(self, answer: tuple[Any, Any]) -> Any:
        """What a request has brought, or why it has not."""
        self.requests += 1
        status, response = answer
        if status.ok:
            return response
        # Texts of the server end with a newline or a zero byte.
        why = f"{self._url}: {status.message.strip(chr(0) + ' ' + chr(10))}"
        if status.code != SERVER_SAYS:
            raise ConnectionError(why)
        if status.errno == NOT_FOUND:
            raise FileNotFoundError(why)
        raise OSError(why)


def _requests(ranges: Sequence[Range]) -> Iterator[list[tuple[int, Range]]]:
    """Vector reads that the server takes: pieces of the ranges, each with its range's position."""
    request: list[tuple[int, Range]] = []
    size = 0
    for position, (offset, length) in enumerate(ranges):
        for start in range(0, length, MOST_RANGE_BYTES):
            piece = (offset + start, min(MOST_RANGE_BYTES, length - start))
            if request and (len(request) == MOST_RANGES or size + piece[1] > MOST_REQUEST_BYTES):
                yield request
                request, size = [], 0
            request.append((position, piece))
            size += piece[1]
    if request:
        yield request


@cache
def _client() -> Any:
    """XRootD's client, in a hurry. What the environment sets (`XRD_...`) stays."""
    client: Any = import_module("XRootD.client")
    for setting, value in CLIENT_SETTINGS.items():
        client.EnvPutInt(setting, value)
    return client
