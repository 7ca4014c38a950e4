"""The local pilots as an engine of the testbed."""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

from services import variables
from services.base import Engine, EngineError
from services.panda.engine import Panda
from services.panda.pilot.status import why_not_ready
from services.panda.pilot.supervisor import supervise
from services.panda.queues import QUEUES
from services.rucio.engine import Rucio

SLOTS = "SWF_PILOT_SLOTS"


class Pilots(Engine):
    """The pilots of all queues of `services.panda.queues`; they belong to the embedded PanDA-compatible server."""

    name = "pilots"
    selected_by = Panda.selected_by

    def embedded(self) -> bool:
        """Exactly when that server is: another PanDA has its own pilots."""
        return Panda(self.home).embedded()

    def environment(self) -> dict[str, str]:
        """Nothing: nobody is a client of a pilot."""
        return {}

    def slots(self) -> dict[str, int]:
        """Queue to the number of its pilots: those of `SWF_PILOT_SLOTS` for each, else the queue's own.

        Raises:
            EngineError: the variable is no number from 1 to 64.
        """
        given = os.environ.get(SLOTS)
        try:
            count = variables.number(SLOTS, 0) if given else None
        except variables.VariableError as error:
            raise EngineError(str(error)) from error
        if count is not None and not 1 <= count <= 64:
            raise EngineError(f"{SLOTS}={given!r} must be a number from 1 to 64")
        return {name: count or queue.slots for name, queue in QUEUES.items()}

    def run(self) -> NoReturn:
        """Be the parent of the pilots until SIGTERM.

        Raises:
            EngineError: the pilots of this home run already, or a variable has no meaning.
        """
        logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO, stream=sys.stderr)
        rucio, panda = Rucio(self.home), Panda(self.home)
        environment = {**os.environ, "SWF_HOME": str(self.home)}
        if panda.embedded():
            environment |= panda.environment()
        if rucio.embedded():
            environment |= rucio.environment()
        supervise(self.directory, self.slots(), environment)
        sys.exit(0)

    def ready(self) -> str | None:
        """None when every slot has a pilot that waits for nothing but jobs, else the first reason."""
        for queue, count in self.slots().items():
            for slot in range(1, count + 1):
                if reason := why_not_ready(self.directory / queue, slot):
                    return reason
        return None
