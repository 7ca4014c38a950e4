"""Waiting for PostgreSQL to say that there is news."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import psycopg
from django.db import connections
from psycopg import sql

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 1.0


class Listener(threading.Thread):
    """Calls `heard(payload)` for every NOTIFY on a channel, over a connection of its own.

    After every (re)connection it calls `heard("")` once: what was said meanwhile is not repeated, so look for yourself.
    """

    def __init__(self, channel: str, heard: Callable[[str], None]) -> None:
        super().__init__(name=f"listen-{channel}", daemon=True)
        self._channel = channel
        self._heard = heard
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End within a second."""
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except psycopg.Error as error:
                log.warning("%s: the database is away, trying again: %s", self.name, str(error).strip())
                self._stopping.wait(RECONNECT_SECONDS)

    def _listen(self) -> None:
        parameters = connections["default"].get_connection_params()
        for django_only in ("cursor_factory", "context", "prepare_threshold"):
            parameters.pop(django_only, None)
        with psycopg.connect(**parameters, autocommit=True) as connection:
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
            self._heard("")
            while not self._stopping.is_set():
                for notify in connection.notifies(timeout=1.0):
                    self._heard(notify.payload)
                    if self._stopping.is_set():
                        return
