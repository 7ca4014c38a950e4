"""Preparing PostgreSQL to be the broker, for kombu's `pgmq` transport."""

from __future__ import annotations

from django.db import connection
from pgmq.install import get_embedded_install_sql

# kombu 5.7 sends topic messages as send_topic(routing_key, message, headers); PGMQ has that function with a delay only.
_SEND_TOPIC = """
CREATE OR REPLACE FUNCTION pgmq.send_topic(routing_key text, msg jsonb, headers jsonb) RETURNS integer
LANGUAGE sql AS 'SELECT pgmq.send_topic(routing_key, msg, headers, 0)'
"""

# PGMQ's own wakes listeners at most once in a while, and keeps the times in an unlogged table: PostgreSQL empties that
# when it recovers from a crash, and from then on nobody is woken. Ours wakes them with every message.
_WAKE_LISTENERS = """
CREATE OR REPLACE FUNCTION pgmq.notify_queue_listeners() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('pgmq.' || TG_TABLE_NAME || '.' || TG_OP, NULL);
    RETURN NEW;
END $$
"""


def install() -> bool:
    """Install the schema `pgmq` if it is not there; True when this call did."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('pgmq.meta') IS NULL")
        missing: bool = cursor.fetchone()[0]
        if missing:
            cursor.execute(get_embedded_install_sql())
        cursor.execute(_SEND_TOPIC)
        cursor.execute(_WAKE_LISTENERS)
    return missing
