"""Where the test database is, for other processes and for the broker in it."""

from __future__ import annotations

from django.db import connection


def address(scheme: str = "postgresql") -> str:
    """Its URL."""
    where = connection.settings_dict
    return f"{scheme}://{where['USER']}:{where['PASSWORD']}@{where['HOST']}:{where['PORT']}/{where['NAME']}"
