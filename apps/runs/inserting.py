"""Writing many rows at once, cheaply."""

from __future__ import annotations

import json
from collections.abc import Sequence

from django.db import connection, models


def insert_all(rows: Sequence[models.Model]) -> None:
    """Insert unsaved rows of one model in one statement, and give them their keys.

    As `bulk_create`, but the rows go as one JSON text that PostgreSQL takes apart: Django and the driver would look at
    every value of every row several times, which was two fifths of what receiving a message cost.
    """
    if rows:
        _insert(rows)


def insert_if_new(row: models.Model) -> bool:
    """Insert an unsaved row, and give it its key, unless one of its unique values is taken; whether it was inserted.

    Asking first would not do: of two that ask at the same moment, both would insert.
    """
    return _insert([row], "ON CONFLICT DO NOTHING")


def update_all(rows: Sequence[models.Model], names: Sequence[str]) -> None:
    """Update these fields of rows of one model in one statement. As `bulk_update`, but as cheaply as `insert_all`."""
    if not rows:
        return
    meta = rows[0]._meta
    columns = [(field.column, field.attname) for field in map(meta.get_field, names)]  # type: ignore[union-attr]
    values = [
        {meta.pk.column: row.pk} | {column: getattr(row, attname) for column, attname in columns}
        for row in rows
    ]
    changes = ", ".join(f'"{column}" = new."{column}"' for column, _ in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f'UPDATE "{meta.db_table}" AS old SET {changes} '  # noqa: S608 - own names of table and columns
            f'FROM json_populate_recordset(NULL::"{meta.db_table}", %s) AS new '
            f'WHERE old."{meta.pk.column}" = new."{meta.pk.column}"',
            [json.dumps(values, default=str)],
        )


def _insert(rows: Sequence[models.Model], on_conflict: str = "") -> bool:
    """Whether they were inserted."""
    meta = rows[0]._meta
    fields = [(field.column, field.attname) for field in meta.concrete_fields if not field.primary_key]
    values = [{column: getattr(row, attname) for column, attname in fields} for row in rows]
    columns = ", ".join(f'"{column}"' for column, _ in fields)
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{meta.db_table}" ({columns}) '  # noqa: S608 - own names of table and columns
            f'SELECT {columns} FROM json_populate_recordset(NULL::"{meta.db_table}", %s) {on_conflict} '
            f'RETURNING "{meta.pk.column}"',
            [json.dumps(values, default=str)],
        )
        keys = cursor.fetchall()
    if not keys:
        return False
    for row, (key,) in zip(rows, keys, strict=True):
        row.pk = key
        row._state.adding = False
        row._state.db = connection.alias
    return True
