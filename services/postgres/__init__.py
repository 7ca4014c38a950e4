"""Embedded PostgreSQL: the binaries of a wheel, a cluster under `<home>/postgres`, one loopback port."""
