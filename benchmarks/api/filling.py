"""Putting many rows into the database at once, by PostgreSQL itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from benchmarks.api.site import Site

# So many STFs are one transaction; so many transactions are at work at a time.
STFS_AT_ONCE = 20_000
WRITERS = 2

# What stands in a column that must have a value and is told none, by its type.
_BLANK = {
    "bigint": "0",
    "integer": "0",
    "smallint": "0",
    "double precision": "0",
    "boolean": "false",
    "jsonb": "'{}'::jsonb",
    "text": "''",
}
_COLUMNS = """
SELECT attname, split_part(format_type(atttypid, NULL), '(', 1) FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attnotnull AND attidentity = ''
"""
_FOREIGN_KEYS = """
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'f'
"""


@dataclass(frozen=True)
class Rows:
    """Rows of a table: an expression for each column, and the SQL that follows on them, from `FROM` on."""

    table: str
    columns: Mapping[str, str]
    source: str = ""


@dataclass(frozen=True)
class Size:
    """So many runs of so many STFs each, with ten entries of the journal to each STF."""

    first_run: int
    runs: int
    stfs_per_run: int

    @property
    def stfs(self) -> int:
        """All of them."""
        return self.runs * self.stfs_per_run


def fill(
    site: Site,
    size: Size,
    *,
    once: Sequence[Rows],
    per_run: Sequence[Rows],
    parameters: str,
    progress: Callable[[int], None],
) -> None:
    """Put in what is there once, then what belongs to runs, and have the planner know of it.

    Args:
        parameters: those of the workflow, as JSON.
        progress: called with the number of STFs that are in, again and again.
    """
    with site.connect() as connection:
        newest = connection.execute("SELECT coalesce(max(position), 0) FROM runs_journalentry").fetchone()
        values = {
            "parameters": parameters,
            "position": newest[0] if newest else 0,
            "from_run": size.first_run,
            "stfs": size.stfs_per_run,
        }
        for rows in once:
            connection.execute(_insert(connection, rows), values)  # type: ignore[arg-type]
        statements = [_insert(connection, rows) for rows in per_run]
        tables = {rows.table for rows in per_run}
        with _unguarded(connection, sorted(tables)), ThreadPoolExecutor(WRITERS) as writers:
            parts = list(_parts(size))
            for stfs in writers.map(lambda part: _write(site, statements, {**values, **part}), parts):
                progress(stfs)
        connection.execute("VACUUM ANALYZE")


def _parts(size: Size) -> Iterator[dict[str, int]]:
    """The runs of each transaction."""
    at_once = max(1, STFS_AT_ONCE // size.stfs_per_run)
    for first in range(0, size.runs, at_once):
        runs = min(at_once, size.runs - first)
        yield {
            "first_run": size.first_run + first,
            "last_run": size.first_run + first + runs - 1,
        }


def _write(site: Site, statements: Sequence[str], values: Mapping[str, Any]) -> int:
    with site.connect() as connection, connection.transaction():
        # A cluster that is thrown away need not wait for its disk.
        connection.execute("SET LOCAL synchronous_commit = off")
        for statement in statements:
            connection.execute(statement, values)  # type: ignore[arg-type]
    return int(values["stfs"] * (values["last_run"] - values["first_run"] + 1))


def _insert(connection: psycopg.Connection[Any], rows: Rows) -> str:
    blanks = {
        name: _BLANK[kind if kind in _BLANK else "text"]
        for name, kind in connection.execute(_COLUMNS, [rows.table]).fetchall()
        if kind not in ("uuid", "timestamp with time zone")
    }
    columns = {**blanks, **rows.columns}
    names, expressions = ", ".join(columns), ", ".join(columns.values())
    return f"INSERT INTO {rows.table} ({names}) SELECT {expressions} {rows.source}"


@contextmanager
def _unguarded(connection: psycopg.Connection[Any], tables: Sequence[str]) -> Iterator[None]:
    """Take foreign keys and triggers away, which look at row after row, and bring them back: then all rows are looked at
    together."""
    keys = [
        (table, name, definition)
        for table in tables
        for name, definition in connection.execute(_FOREIGN_KEYS, [table]).fetchall()
    ]
    for table in tables:
        connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")  # type: ignore[arg-type]
    for table, name, _ in keys:
        connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')  # type: ignore[arg-type]
    yield
    for table, name, definition in keys:
        connection.execute(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')  # type: ignore[arg-type]
    for table in tables:
        connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")  # type: ignore[arg-type]
