"""Embedded Rucio: a real server, its catalogue in PostgreSQL and its daemons, in one process."""
