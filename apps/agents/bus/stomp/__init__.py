"""kombu's transport `stomp://` for ActiveMQ: Celery over STOMP 1.2, and plain JSON of other clients as tasks.

This package depends on kombu only: it knows neither Django nor Celery. See docs/stomp-transport.md.
"""

from __future__ import annotations

from kombu.transport import TRANSPORT_ALIASES


def register() -> None:
    """Make kombu know `stomp://` and `stomp+ssl://`; before the first connection, as often as one likes."""
    for scheme in ("stomp", "stomp+ssl"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}.transport:Transport"
