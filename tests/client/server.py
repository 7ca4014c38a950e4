"""A web server that answers one request after the other as a test says."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

# Where no server is: whoever is there now may be another one in a moment, but for the first ports.
NOBODY = "http://127.0.0.1:1"

Reply = Callable[[http.server.BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Asked:
    """A request as it came; the names of the headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Server:
    """Gives the replies in their order, the `otherwise` one when there are none left, and notes what it was asked. With
    `keeps`, connections stay open."""

    def __init__(self, *replies: Reply, otherwise: Reply | None = None, keeps: bool = False) -> None:
        self.replies = list(replies)
        self.asked: list[Asked] = []
        self.connections = 0
        self._otherwise = otherwise
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                server.connections += 1
                super().setup()

            def do_GET(self) -> None:
                server.asked.append(_asked(self))
                reply = server.replies.pop(0) if server.replies else server._otherwise
                assert reply, f"nothing was said of {self.path}"
                reply(self)
                self.close_connection = self.close_connection or not keeps

            do_POST = do_PATCH = do_GET  # noqa: N815 - the library's names

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def streams(*parts: bytes, whole: bool = True) -> Reply:
    """A stream in these pieces, which ends properly or is cut off."""

    def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for part in parts:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            handler.wfile.flush()
        if whole:
            handler.wfile.write(b"0\r\n\r\n")

    return reply


def answers(
    status: int, body: bytes = b"{}", content_type: str = "application/problem+json", **headers: str
) -> Reply:
    """Something else than a stream; `headers` with underscores for hyphens."""

    def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def cut(handler: http.server.BaseHTTPRequestHandler) -> None:
    """No answer: the connection ends."""
    handler.close_connection = True


def _asked(handler: http.server.BaseHTTPRequestHandler) -> Asked:
    headers = {name.lower(): value for name, value in handler.headers.items()}
    body = handler.rfile.read(int(headers.get("content-length", 0)))
    return Asked(handler.command, handler.path, headers, json.loads(body) if body else None)
