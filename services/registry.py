"""Which engines this installation runs itself, in start order, and how clients reach them.

An engine is served elsewhere when the variable that selects it (`DATABASE_URL`, `RUCIO_HOST`) holds something
else than the engine's own address. Addresses never change once chosen, so the answer is the same in a shell,
where the variable is unset, and in a process under supervisor, which inherits the composed environment.
"""

from __future__ import annotations

import os
from pathlib import Path

from services.activemq.engine import ActiveMQ
from services.base import Engine, default_home
from services.postgres.engine import Postgres
from services.rabbitmq.engine import RabbitMQ
from services.rucio.engine import Rucio
from services.xrootd.engine import XRootD

CLASSES: tuple[type[Engine], ...] = (Postgres, ActiveMQ, RabbitMQ, XRootD, Rucio)
# Brokers beside the one in PostgreSQL: started by name only.
BROKERS = (ActiveMQ, RabbitMQ)


def engine(name: str, home: Path | None = None) -> Engine:
    """The engine called `name`, whether this installation uses it or not.

    Raises:
        KeyError: there is no such engine.
    """
    return {one.name: one for one in CLASSES}[name](home)


def engines(home: Path | None = None) -> dict[str, Engine]:
    """Name to engine, in start order, of those this installation runs itself."""
    own = {one.name: one for one in (kind(home) for kind in CLASSES if kind not in BROKERS) if one.embedded()}
    if Rucio.name not in own:
        own.pop(XRootD.name, None)  # another Rucio has its own storage
    return own


def compose_environment(home: Path | None = None) -> dict[str, str]:
    """Variables for every process of the testbed: where its state lies and how its own engines are reached.

    A broker of the user's choice (`BROKER_URL`, `ACTIVEMQ_HOST`) stays; so does every variable of an engine
    served elsewhere. For an engine of our own all its variables are replaced together: half of a login for
    another Rucio, left in a shell's profile, must not mix with ours.
    """
    composed = {"SWF_HOME": str(home or default_home())}
    for one in engines(home).values():
        composed |= one.environment()
    if os.environ.get("BROKER_URL") or os.environ.get("ACTIVEMQ_HOST"):
        composed.pop("BROKER_URL", None)
    return composed
