"""Waiting for PostgreSQL to say that there is news."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import psycopg
from django.db import Error as DatabaseError
from django.db import connection, connections
from psycopg import sql

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 1.0
STOP_SECONDS = 1.0  # how often it looks whether it is to end


def database_away(error: Exception) -> str:
    """The reason to show while the database is away, in one line."""
    said = str(error).strip() or type(error).__name__
    return f"the database does not answer: {said.splitlines()[0]}"


class Listener(threading.Thread):
    """Calls `heard(payload)` for every NOTIFY on a channel, over a connection of its own.

    After every (re)connection it calls `heard("")` once: what was said meanwhile is not repeated, so look for yourself.
    `heard` may use the database too: when that fails, it is called again with "" as soon as the database is back.
    `waiting_for` is the reason why nothing can be heard, empty while something can.
    """

    def __init__(self, channel: str, heard: Callable[[str], None]) -> None:
        super().__init__(name=f"listen-{channel}", daemon=True)
        self.waiting_for = "the connection to the database"
        self._channel = channel
        self._heard = heard
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End within `STOP_SECONDS`."""
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except (psycopg.Error, DatabaseError) as error:
                self.waiting_for = database_away(error)
                log.warning("%s: %s", self.name, self.waiting_for)
                connection.close()  # the one `heard` used, as broken as ours
                self._stopping.wait(RECONNECT_SECONDS)
        connection.close()

    def _listen(self) -> None:
        parameters = connections["default"].get_connection_params()
        for django_only in ("cursor_factory", "context", "prepare_threshold"):
            parameters.pop(django_only, None)
        with psycopg.connect(**parameters, autocommit=True) as listening:
            listening.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
            self._heard("")
            self.waiting_for = ""
            while not self._stopping.is_set():
                for notify in listening.notifies(timeout=STOP_SECONDS):
                    self._heard(notify.payload)
                    if self._stopping.is_set():
                        return
