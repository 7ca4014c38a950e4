"""Rucio's REST interface under waitress, with one page more: the state of the daemons."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

from waitress import create_server

from services.rucio.server.loop import DaemonLoop
from services.rucio.settings import DATA_CLIENT

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

# Those of the data agent, and of PanDA and its pilots, most of which stand back while there is much to copy.
THREADS = 16
STATUS_PATH = "/testbed/status"
# What the registrar writes to datasets: the DAQ's exit buffer waits for it, so it goes before all copying. Others, who
# read them or process what is in them, wait for their turn.
URGENT_PATH = "/dids"
READING = ("GET", "HEAD", "OPTIONS")


def listen(host: str, port: int) -> socket.socket:
    """Take the port, not listening yet. It is also the lock that keeps a second process off the catalogue."""
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind((host, port))
    return taken


def serve(taken: socket.socket, application: Wsgi, loop: DaemonLoop, wake: threading.Event) -> None:
    """Answer requests until the process ends."""
    server = create_server(_around(application, loop, wake), sockets=[taken], threads=THREADS)
    server.run()


def _around(application: Wsgi, loop: DaemonLoop, wake: threading.Event) -> Wsgi:
    """Answer for the daemons, and wake them when a request may have made work for them."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == STATUS_PATH:
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps({"reason": loop.reason()}).encode()]
        if _is_urgent(environ):
            with loop.yielding():
                response = application(environ, start_response)
        else:
            if not _is_of_data(environ):
                loop.stand_back()
            response = application(environ, start_response)
        if environ["REQUEST_METHOD"] not in READING:
            wake.set()
        return response

    return answer


def _is_urgent(environ: dict[str, Any]) -> bool:
    return (
        environ["REQUEST_METHOD"] not in READING
        and environ["PATH_INFO"].startswith(URGENT_PATH)
        and _is_of_data(environ)
    )


def _is_of_data(environ: dict[str, Any]) -> bool:
    return str(environ.get("HTTP_USER_AGENT", "")).startswith(DATA_CLIENT)
