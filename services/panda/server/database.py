"""The server's tables in PostgreSQL: short transactions from a pool, and the schema."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

SCHEMA = "panda"
VERSION = 1
CONNECTIONS = 10
PATIENCE_SECONDS = 5.0

Row = dict[str, Any]
Values = Mapping[str, Any] | Sequence[Any]

log = logging.getLogger(__name__)


class Transaction:
    """One open transaction; rows are dictionaries."""

    def __init__(self, connection: psycopg.Connection[DictRow]) -> None:
        self._connection = connection

    def rows(self, query: str, values: Values = ()) -> list[Row]:
        """All rows of a query."""
        return self._connection.execute(query.encode(), values).fetchall()

    def row(self, query: str, values: Values = ()) -> Row | None:
        """The first row of a query, None when there is none."""
        return self._connection.execute(query.encode(), values).fetchone()

    def one(self, query: str, values: Values = ()) -> Row:
        """The first row of a query that has one by its nature.

        Raises:
            LookupError: it has none.
        """
        if (found := self.row(query, values)) is None:
            raise LookupError(f"no row: {' '.join(query.split())}")
        return found

    def execute(self, query: str, values: Values = ()) -> int:
        """Carry out a statement; returns how many rows it touched."""
        return self._connection.execute(query.encode(), values).rowcount

    def many(self, query: str, values: Sequence[Values]) -> None:
        """Carry out a statement for each of many values, in one go."""
        with self._connection.cursor() as cursor:
            cursor.executemany(query.encode(), values)


class Database:
    """Transactions on the server's schema, from a pool that outlives restarts of PostgreSQL.

    Args:
        address: `postgresql://...`
    """

    def __init__(self, address: str) -> None:
        self._pool: ConnectionPool[psycopg.Connection[DictRow]] = ConnectionPool(
            address,
            min_size=2,
            max_size=CONNECTIONS,
            timeout=PATIENCE_SECONDS,
            reconnect_timeout=0.0,
            kwargs={
                "row_factory": dict_row,
                "options": f"-c search_path={SCHEMA}",
                "connect_timeout": int(PATIENCE_SECONDS),
            },
            check=ConnectionPool.check_connection,
            open=False,
        )

    def open(self) -> None:
        """Begin to connect; must be called once, before any transaction."""
        self._pool.open()

    def close(self) -> None:
        """End all connections."""
        self._pool.close()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Everything in the block is committed at its end, or nothing.

        Raises:
            psycopg.OperationalError: the database is away (`psycopg_pool.PoolTimeout` is one of them).
        """
        with self._pool.connection() as connection:
            yield Transaction(connection)

    def prepare(self) -> None:
        """Make the schema unless it is there, in one transaction: a process killed in the middle leaves nothing.

        Raises:
            RuntimeError: the schema is of another version.
        """
        with self.transaction() as transaction:
            transaction.execute("SELECT pg_advisory_xact_lock(hashtext('panda schema'))")
            there = transaction.row("SELECT 1 FROM pg_namespace WHERE nspname = %s", [SCHEMA])
            if there is None:
                transaction.execute(f"CREATE SCHEMA {SCHEMA}")
                transaction.execute(Path(__file__).with_name("schema.sql").read_text())
            number = transaction.one("SELECT number FROM version")["number"]
        if number != VERSION:
            raise RuntimeError(f"schema {SCHEMA} has version {number}, this server needs {VERSION}: drop it")

    def wait_and_prepare(self) -> None:
        """Wait for the database as long as it takes, then make sure of the schema.

        Raises:
            RuntimeError: as `prepare`.
        """
        said = ""
        while True:
            try:
                self.prepare()
            except psycopg.OperationalError as error:
                reason = " ".join(str(error).split())
                if reason != said:
                    log.warning("waiting for the database: %s", reason)
                    said = reason
                time.sleep(0.5)
            else:
                return
