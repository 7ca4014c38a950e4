"""STOMP 1.2 frames: making them, and finding them in a stream of bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from amqp.exceptions import RecoverableConnectionError

HEADER_LIMIT = 64 * 1024
FRAME_LIMIT = 64 * 1024 * 1024

_ESCAPES = str.maketrans({"\\": "\\\\", "\r": "\\r", "\n": "\\n", ":": "\\c"})
_UNESCAPED = {"\\\\": "\\", "\\r": "\r", "\\n": "\n", "\\c": ":"}
_ESCAPE = re.compile(r"\\.?", re.DOTALL)
_COMMAND = re.compile(r"[A-Z]{1,32}")
_LENGTH = re.compile(r"[0-9]{1,12}")
_END_OF_HEADERS = re.compile(rb"\n\r?\n")
_BETWEEN_FRAMES = re.compile(rb"[\r\n]*")
# STOMP 1.2 leaves these two unescaped, for the sake of 1.0.
_UNESCAPED_COMMANDS = frozenset({"CONNECT", "CONNECTED"})


class StompError(RecoverableConnectionError):
    """The connection is of no use any more; the text says why. A new one may be."""


class RefusedError(StompError):
    """The broker has answered a frame with ERROR, and ended the connection."""


class Frame(NamedTuple):
    """One frame. Of a header that is repeated, the first value counts."""

    command: str
    headers: dict[str, str]
    body: bytes


def encode(
    command: str, headers: Mapping[str, object], body: bytes = b"", *, content_length: bool = True
) -> bytes:
    """The bytes of a frame; headers that are None are left out.

    Without `content_length`, ActiveMQ makes a JMS text message of it; the body must be free of NULs then.

    Raises:
        ValueError: a NUL in a header, in a body without length, or a line end in one of CONNECT's headers.
    """
    lines = [command]
    if command in _UNESCAPED_COMMANDS:
        lines += [f"{name}:{value}" for name, value in headers.items() if value is not None]
        if len("\n".join(lines).splitlines()) != len(lines):
            raise ValueError(f"a header of {command} contains a line end")
    else:
        lines += [
            f"{name.translate(_ESCAPES)}:{str(value).translate(_ESCAPES)}"
            for name, value in headers.items()
            if value is not None
        ]
    if body and content_length:
        lines.append(f"content-length:{len(body)}")
    head = "\n".join(lines).encode("utf-8", "replace")
    if b"\0" in head or (not content_length and b"\0" in body):
        raise ValueError(f"a NUL cannot be sent in the headers of {command}, nor in a text body")
    return b"%b\n\n%b\0" % (head, body)


class Parser:
    """Finds frames in bytes that arrive in pieces of any size, looking at each byte a bounded number of times.

    It holds at most one incomplete frame and the piece fed last. After an error it is of no use any more.
    """

    def __init__(self, frame_limit: int = FRAME_LIMIT, header_limit: int = HEADER_LIMIT) -> None:
        self._frame_limit = frame_limit
        self._header_limit = header_limit
        self._buffer = bytearray()
        self._head: tuple[str, dict[str, str]] | None = None  # of the frame whose body is not complete
        self._length: int | None = None  # of that body, when the frame says so
        self._start = 0  # of what is not yet consumed
        self._searched = 0  # up to here, the end looked for is not

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes.

        Raises:
            StompError: what came is not STOMP 1.2, or exceeds a limit.
        """
        self._buffer += data
        frames = []
        while (self._head is not None or self._take_head()) and (frame := self._take_body()):
            frames.append(frame)
        if self._start:
            del self._buffer[: self._start]
            self._searched -= self._start
            self._start = 0
        return frames

    def _take_head(self) -> bool:
        if self._searched <= self._start:
            between = _BETWEEN_FRAMES.match(self._buffer, self._start)
            self._start = self._searched = between.end() if between else self._start
        end = _END_OF_HEADERS.search(self._buffer, self._searched)
        if (end.start() if end else len(self._buffer)) - self._start > self._header_limit:
            raise StompError(f"a header block of more than {self._header_limit} bytes")
        if end is None:
            # The end may have come in part: "\n\r".
            self._searched = max(self._start, len(self._buffer) - 2)
            return False
        self._head = parse_head(bytes(self._buffer[self._start : end.start()]))
        self._length = self._body_length(self._head[1].get("content-length"))
        self._start = self._searched = end.end()
        return True

    def _body_length(self, text: str | None) -> int | None:
        if text is None:
            return None
        if not _LENGTH.fullmatch(text):
            raise StompError(f"a content-length that is no number: {text[:40]!r}")
        if int(text) > self._frame_limit:
            raise StompError(f"a body of {text} bytes; the limit is {self._frame_limit}")
        return int(text)

    def _take_body(self) -> Frame | None:
        if self._length is not None:
            end = self._start + self._length
            if len(self._buffer) <= end:
                return None
            if self._buffer[end]:
                raise StompError("a body that does not end where its content-length says")
        else:
            end = self._buffer.find(0, self._searched)
            if (end if end >= 0 else len(self._buffer)) - self._start > self._frame_limit:
                raise StompError(f"a body without end; the limit is {self._frame_limit} bytes")
            if end < 0:
                self._searched = len(self._buffer)
                return None
        assert self._head is not None  # noqa: S101  (said for the type checker; feed() sees to it)
        frame = Frame(*self._head, bytes(self._buffer[self._start : end]))
        self._head = None
        self._start = self._searched = end + 1
        return frame


def parse_head(head: bytes) -> tuple[str, dict[str, str]]:
    """Command and headers of a frame's head, which ends before its empty line.

    Raises:
        StompError: it is malformed.
    """
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        raise StompError(f"headers that are not UTF-8: {error}") from None
    if "\r" in text:
        text = text.replace("\r\n", "\n").removesuffix("\r")
    command, *lines = text.split("\n")
    if not _COMMAND.fullmatch(command):
        raise StompError(f"no STOMP command: {command[:40]!r}")
    lines.reverse()  # so that the first of a repeated header wins
    try:
        headers = dict([line.split(":", 1) for line in lines])
    except ValueError:
        raise StompError(f"a header line without colon in {command}") from None
    if "\\" in text and command not in _UNESCAPED_COMMANDS:
        headers = {_unescape(name): _unescape(value) for name, value in headers.items()}
    return command, headers


def _unescape(text: str) -> str:
    return _ESCAPE.sub(_unescape_one, text) if "\\" in text else text


def _unescape_one(match: re.Match[str]) -> str:
    try:
        return _UNESCAPED[match[0]]
    except KeyError:
        raise StompError(f"an undefined escape in a header: {match[0]!r}") from None
