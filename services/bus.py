"""Which bus this installation uses: chosen for a home, and kept until another one is chosen."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

from services.activemq.engine import ActiveMQ
from services.base import Engine, EngineError
from services.postgres.engine import Postgres
from services.rabbitmq.engine import RabbitMQ
from services.remembered import change, recall

CHOICES = "choices.json"
KEY = "bus"


class Bus(StrEnum):
    """What carries the messages of the testbed's own programs."""

    PGMQ = "pgmq"
    ACTIVEMQ = "activemq"
    RABBITMQ = "rabbitmq"


# The bus in PostgreSQL has no engine of its own.
BROKERS: dict[Bus, type[Engine]] = {Bus.ACTIVEMQ: ActiveMQ, Bus.RABBITMQ: RabbitMQ}


def chosen_bus(home: Path) -> Bus:
    """The bus of this home; queues in PostgreSQL until somebody chooses.

    Raises:
        EngineError: what is kept there is no bus.
    """
    kept = recall(home / CHOICES, KEY)
    try:
        return Bus.PGMQ if kept is None else Bus(str(kept))
    except ValueError as error:
        raise EngineError(f"{home / CHOICES}: {KEY} must be one of {', '.join(Bus)}, not {kept!r}") from error


def choose_bus(home: Path, bus: Bus) -> None:
    """Keep the choice of a bus. Messages that still lie on another one stay there until it is chosen again.

    Raises:
        EngineError: this machine lacks what it needs; the text has the command that installs it.
    """
    if (kind := BROKERS.get(bus)) and (reason := kind(home).missing()):
        raise EngineError(reason)
    change(home / CHOICES, KEY, str(bus))


def another_broker(home: Path) -> str | None:
    """The variable by which the user has named a broker of his own; None when there is none.

    The addresses of our own engines do not count: processes of the testbed inherit them.
    """
    if os.environ.get("BROKER_URL_FILE"):
        return "BROKER_URL_FILE"
    url = os.environ.get("BROKER_URL")
    if url and url not in _own_urls(home):
        return "BROKER_URL"
    return None if ActiveMQ(home).embedded() else ActiveMQ.selected_by


def _own_urls(home: Path) -> set[str]:
    """Addresses of our engines; a RabbitMQ that was never used gets no port by being asked."""
    used: list[Engine] = [Postgres(home)]
    if chosen_bus(home) is Bus.RABBITMQ or RabbitMQ(home).directory.exists():
        used.append(RabbitMQ(home))
    return {one.environment()["BROKER_URL"] for one in used}
