"""What a test has committed is deleted again: only the rows that there are, in milliseconds.

Django's own `flush` truncates all tables, which are new files for each of them and for each index, and makes content
types and permissions anew. The rows of these two say nothing but what the code says: they stay.
"""

from __future__ import annotations

import time

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

STAY = {"django_content_type", "auth_permission"}
WITH_GUARDS = "SELECT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal"
# The sessions of processes that a test has killed end what they have begun: a row may come after the test.
WRITING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xid IS NOT NULL"
)
PATIENCE = 10.0


def empty() -> None:
    """Delete the rows of all models but content types and permissions; sequences go on, as with `flush`.

    What others write at this moment is waited for, if it does not take too long.
    """
    _wait_for_writers()
    with transaction.atomic(), connection.cursor() as cursor:
        filled = _filled(cursor)
        cursor.execute(WITH_GUARDS)
        guarded = filled & {table for (table,) in cursor.fetchall()}
        for table in guarded:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for table in filled:
            cursor.execute(f"DELETE FROM {table}")
        # Else the table still has checks to come, and cannot be altered.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in guarded:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def end_sessions() -> None:
    """End the sessions that threads of the last tests have left open."""
    others = "datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE {others}")


def _wait_for_writers() -> None:
    deadline = time.monotonic() + PATIENCE
    with connection.cursor() as cursor:
        cursor.execute(WRITING)
        while cursor.fetchone()[0] and time.monotonic() < deadline:
            time.sleep(0.01)
            cursor.execute(WRITING)


def _filled(cursor: CursorWrapper) -> set[str]:
    tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - STAY
    each = (f"SELECT '{table}' FROM (SELECT FROM {table} LIMIT 1) AS any_row" for table in sorted(tables))
    cursor.execute(" UNION ALL ".join(each))
    return {table for (table,) in cursor.fetchall()}
