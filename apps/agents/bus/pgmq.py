"""Preparing PostgreSQL to be the broker, for kombu's `pgmq` transport."""

from __future__ import annotations

from django.db import connection
from pgmq.install import get_embedded_install_sql

# kombu 5.7 sends topic messages as send_topic(routing_key, message, headers); PGMQ has that function with a delay only.
_SEND_TOPIC = """
CREATE OR REPLACE FUNCTION pgmq.send_topic(routing_key text, msg jsonb, headers jsonb) RETURNS integer
LANGUAGE sql AS 'SELECT pgmq.send_topic(routing_key, msg, headers, 0)'
"""


def install() -> bool:
    """Install the schema `pgmq` if it is not there; True when this call did."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('pgmq.meta') IS NULL")
        missing: bool = cursor.fetchone()[0]
        if missing:
            cursor.execute(get_embedded_install_sql())
        cursor.execute(_SEND_TOPIC)
    return missing
