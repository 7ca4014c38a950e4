"""Writing many rows at once, cheaply."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, models, transaction


@dataclass(frozen=True)
class Made:
    """A column whose values PostgreSQL makes: by the SQL `value`, out of the row `given` and of the table `name`, which is
    what the statement `out_of` returns. All of that comes before the first row: keys are drawn under the locks it takes."""

    column: str
    value: str
    name: str
    out_of: str
    parameters: Sequence[Any] = ()


def insert_all(rows: Sequence[models.Model], made: Made | None = None) -> None:
    """Insert unsaved rows of one model in one statement, and give them their keys.

    As `bulk_create`, but the rows go as one JSON text that PostgreSQL takes apart: Django and the driver would look at
    every value of every row several times, which was two fifths of what receiving a message cost.

    Args:
        made: a column that PostgreSQL makes.
    """
    if rows:
        _insert(rows, made=made)


def insert_if_new(row: models.Model) -> bool:
    """Insert an unsaved row, and give it its key, unless one of its unique values is taken; whether it was inserted.

    Asking first would not do: of two that ask at the same moment, both would insert.
    """
    return _insert([row], on_conflict="ON CONFLICT DO NOTHING")


def insert_if_all_new(rows: Sequence[models.Model]) -> bool:
    """As `insert_if_new`, several rows of one model: all or none, none if two have the same value.

    Whether one is taken costs nothing to find out. To ask for hundreds at once may cost a look at the whole table.
    """
    if len(rows) == 1:
        return insert_if_new(rows[0])
    with transaction.atomic():
        all_new = not rows or _insert(rows, on_conflict="ON CONFLICT DO NOTHING")
        if not all_new:
            transaction.set_rollback(True)
    return all_new


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


def _insert(rows: Sequence[models.Model], *, on_conflict: str = "", made: Made | None = None) -> bool:
    """Whether all were inserted. If not, those that were have no keys yet."""
    meta = rows[0]._meta
    fields = [(field.column, field.attname) for field in meta.concrete_fields if not field.primary_key]
    values = [{column: getattr(row, attname) for column, attname in fields} for row in rows]
    columns = ", ".join(f'"{column}"' for column, _ in fields)
    chosen, returned, parameters = columns, f'"{meta.pk.column}"', [json.dumps(values, default=str)]
    before = condition = ""
    if made is not None:
        before, parameters = f"WITH {made.name} AS ({made.out_of}) ", [*made.parameters, *parameters]
        chosen = ", ".join(made.value if column == made.column else f'"{column}"' for column, _ in fields)
        condition = f"WHERE (SELECT count(*) FROM {made.name}) > 0"  # noqa: S608 - own name
        returned = f'{returned}, "{made.column}"'
    with connection.cursor() as cursor:
        cursor.execute(
            f'{before}INSERT INTO "{meta.db_table}" ({columns}) '  # noqa: S608 - own names of table and columns
            f'SELECT {chosen} FROM json_populate_recordset(NULL::"{meta.db_table}", %s) AS given '
            f"{condition} {on_conflict} RETURNING {returned}",
            parameters,
        )
        inserted = cursor.fetchall()
    if len(inserted) < len(rows):
        return False
    for row, (key, *value) in zip(rows, inserted, strict=True):
        row.pk = key
        row._state.adding = False
        row._state.db = connection.alias
        if made is not None:
            setattr(row, made.column, *value)
    return True
