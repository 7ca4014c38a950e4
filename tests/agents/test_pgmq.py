"""What we change of PGMQ, on a real PostgreSQL."""

from __future__ import annotations

import psycopg
import pytest
from django.db import connection, connections

from apps.agents.bus.pgmq import install


@pytest.mark.django_db(transaction=True)
def test_listeners_are_woken_after_a_crash_has_emptied_unlogged_tables() -> None:
    install()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pgmq.create('after_a_crash')")
        cursor.execute("SELECT pgmq.enable_notify_insert('after_a_crash', 1)")
        cursor.execute("TRUNCATE pgmq.notify_insert_throttle")
    parameters = connections["default"].get_connection_params()
    login = {
        name: parameters[name]
        for name in ("host", "port", "dbname", "user", "password")
        if name in parameters
    }
    try:
        with psycopg.connect(**login, autocommit=True) as listening:
            listening.execute('LISTEN "pgmq.q_after_a_crash.INSERT"')
            with connection.cursor() as cursor:
                cursor.execute("SELECT pgmq.send('after_a_crash', '{}')")
            assert [one.channel for one in listening.notifies(timeout=60, stop_after=1)] == [
                "pgmq.q_after_a_crash.INSERT"
            ]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pgmq.drop_queue('after_a_crash')")
