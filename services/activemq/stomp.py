"""As much of STOMP 1.2 as it takes to log in to a broker and exchange single frames over a blocking socket."""

from __future__ import annotations

import socket
import ssl
from types import TracebackType
from typing import NamedTuple, Self


class StompError(Exception):
    """The broker refused or closed the connection; the text is its reason."""


class Frame(NamedTuple):
    """One frame; the headers are unescaped."""

    command: str
    headers: dict[str, str]
    body: bytes


class StompSession:
    """A logged-in connection; a context manager.

    Raises:
        OSError: nobody listens, or no answer in `timeout` seconds.
        StompError: the broker refuses the login; the text says why.
    """

    def __init__(
        self,
        address: tuple[str, int],
        *,
        user: str,
        password: str,
        timeout: float = 3.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        connection = socket.create_connection(address, timeout)
        self._socket = tls.wrap_socket(connection, server_hostname=address[0]) if tls else connection
        self._stream = self._socket.makefile("rb")
        try:
            self.send(
                "CONNECT", {"accept-version": "1.2", "host": address[0], "login": user, "passcode": password}
            )
            self.connected = self.expect("CONNECTED")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket without a word: for the broker, what was not acknowledged was not delivered."""
        self._stream.close()
        self._socket.close()

    def send(self, command: str, headers: dict[str, str], body: bytes = b"") -> None:
        """Send one frame; header values must not hold line ends, colons or backslashes."""
        head = "".join(f"{name}:{value}\n" for name, value in headers.items())
        self._socket.sendall(f"{command}\n{head}\n".encode() + body + b"\0")

    def request(self, command: str, headers: dict[str, str], body: bytes = b"") -> None:
        """Send one frame and wait for the broker's receipt."""
        self.send(command, {**headers, "receipt": "1"}, body)
        self.expect("RECEIPT")

    def expect(self, command: str) -> Frame:
        """The next frame, which must be a `command`."""
        frame = self.read()
        if frame.command != command:
            reason = frame.headers.get("message") or frame.body.decode(errors="replace").strip()
            raise StompError(f"{frame.command}: {reason}")
        return frame

    def read(self) -> Frame:
        """The next frame; heart-beats are passed over."""
        command = b"\n"
        while command in (b"\n", b"\r\n"):
            command = self._stream.readline()
        if not command:
            raise StompError("the connection was closed")
        headers: dict[str, str] = {}
        while line := self._stream.readline().rstrip(b"\r\n"):
            name, _, value = line.decode().partition(":")
            headers.setdefault(_unescaped(name), _unescaped(value))
        return Frame(command.strip().decode(), headers, self._body(headers))

    def _body(self, headers: dict[str, str]) -> bytes:
        if "content-length" in headers:
            return self._stream.read(int(headers["content-length"]) + 1)[:-1]
        body = bytearray()
        while (byte := self._stream.read(1)) not in (b"\0", b""):
            body += byte
        return bytes(body)


def _unescaped(text: str) -> str:
    for escape, plain in (("\\r", "\r"), ("\\n", "\n"), ("\\c", ":"), ("\\\\", "\\")):
        text = text.replace(escape, plain)
    return text
