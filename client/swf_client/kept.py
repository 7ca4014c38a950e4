"""Connections that stay open between requests: one per thread, made anew when the testbed has closed it."""

from __future__ import annotations

import http.client
import os
import threading
import urllib.request
import weakref
from base64 import b64encode
from collections.abc import Mapping
from email.message import Message
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from .errors import Away
from .web import words

# What a connection says that was closed at the other end while nobody used it.
_STALE = (ConnectionError, http.client.BadStatusLine)


class Raw(NamedTuple):
    """An answer as it came."""

    status: int
    reason: str
    headers: Message
    body: bytes


class Kept:
    """The way to one server, through the proxy that the environment names for it, if any. For any number of threads."""

    def __init__(self, base: str) -> None:
        """`base` is the server's address, with the path that all requests begin with."""
        self._base = urlsplit(base)
        self._own = threading.local()

    def ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], *, timeout: float
    ) -> Raw:
        """One request, and its whole answer; no redirect is followed. What a stale connection does not take goes over a
        new one.

        Args:
            timeout: seconds of silence after which the server counts as away.

        Raises:
            Away: there is no answer. The request may have been received.
        """
        line = self._line()
        was_open = line.is_open
        try:
            try:
                return line.ask(method, path, body, headers, timeout)
            except _STALE:
                if not was_open:
                    raise
                line.close()
                return line.ask(method, path, body, headers, timeout)
        except (OSError, http.client.HTTPException) as error:
            line.close()
            raise Away(words(error, timeout)) from error

    def _line(self) -> _Line:
        """That of this thread. A process that was forked off must not share one with its parent."""
        if getattr(self._own, "pid", 0) != os.getpid():
            self._own.pid = os.getpid()
            self._own.line = _Line(self._base)
        line: _Line = self._own.line
        return line


class _Line:
    """One connection. It is closed with the thread that has it."""

    def __init__(self, base: SplitResult) -> None:
        proxy = _proxy_for(base)
        via = proxy or base
        kind = http.client.HTTPSConnection if base.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(via.hostname or "", via.port)
        weakref.finalize(self, self._connection.close)
        self._before = base.path
        self._headers: dict[str, str] = {}
        if proxy is None:
            return
        login = _login(proxy)
        if base.scheme == "https":
            self._connection.set_tunnel(base.hostname or "", base.port, login)
        else:
            self._before = f"http://{base.netloc}{base.path}"
            self._headers = login

    @property
    def is_open(self) -> bool:
        return self._connection.sock is not None

    def ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout: float
    ) -> Raw:
        connection = self._connection
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        connection.request(method, self._before + path, body, {**self._headers, **headers})
        answer = connection.getresponse()
        return Raw(answer.status, answer.reason, answer.headers, answer.read())

    def close(self) -> None:
        """The next request opens it again."""
        self._connection.close()


def _proxy_for(base: SplitResult) -> SplitResult | None:
    if urllib.request.proxy_bypass(base.hostname or ""):
        return None
    address = urllib.request.getproxies().get(base.scheme)
    if not address:
        return None
    return urlsplit(address if "//" in address else f"//{address}")


def _login(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(login.encode()).decode()}"}
