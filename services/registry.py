"""Which engines this installation runs itself, in start order, and how clients reach them.

An engine is served elsewhere when the variable that selects it (`DATABASE_URL`, `RUCIO_HOST`) holds something
else than the engine's own address. Of the brokers, the one of the chosen bus is used (`services.bus`), unless the user
names another. Addresses never change once chosen, so the answer is the same in a shell, where the variable is unset,
and in a process under supervisor, which inherits the composed environment.
"""

from __future__ import annotations

from pathlib import Path

from services.activemq.engine import ActiveMQ
from services.base import Engine, default_home
from services.bus import BROKERS, another_broker, chosen_bus
from services.panda.engine import Panda
from services.panda.pilot.engine import Pilots
from services.postgres.engine import Postgres
from services.rabbitmq.engine import RabbitMQ
from services.rucio.engine import Rucio
from services.xrootd.engine import XRootD

CLASSES: tuple[type[Engine], ...] = (Postgres, ActiveMQ, RabbitMQ, XRootD, Rucio, Panda, Pilots)


def engine(name: str, home: Path | None = None) -> Engine:
    """The engine called `name`, whether this installation uses it or not.

    Raises:
        KeyError: there is no such engine.
    """
    return {one.name: one for one in CLASSES}[name](home)


def engines(home: Path | None = None) -> dict[str, Engine]:
    """Name to engine, in start order, of those this installation runs itself.

    Raises:
        EngineError: a choice (`SWF_TRANSFER`, the bus) has no meaning.
    """
    directory = home or default_home()
    broker = None if another_broker(directory) else BROKERS.get(chosen_bus(directory))
    own: dict[str, Engine] = {}
    for kind in CLASSES:
        one = kind(home)
        if kind is broker if kind in BROKERS.values() else one.embedded():
            own[one.name] = one
    if Rucio.name not in own:
        own.pop(XRootD.name, None)  # another Rucio has its own storage
    return own


def compose_environment(home: Path | None = None) -> dict[str, str]:
    """Variables for every process of the testbed: where its state lies and how its own engines are reached.

    A broker of the user's choice (`BROKER_URL`, `ACTIVEMQ_HOST`) stays; so does every variable of an engine
    served elsewhere. For an engine of our own all its variables are replaced together: half of a login for
    another Rucio, left in a shell's profile, must not mix with ours.
    """
    directory = home or default_home()
    composed = {"SWF_HOME": str(directory)}
    own = engines(home)
    for one in own.values():
        composed |= one.environment()
    another = another_broker(directory)
    if another == ActiveMQ.selected_by or ActiveMQ.name in own:
        composed["BROKER_URL"] = ""  # it would come first
    elif another:
        composed.pop("BROKER_URL", None)
    return composed
