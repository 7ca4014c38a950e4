"""`python -m services.panda.pilot QUEUE SLOT`: one pilot. The engine `pilots` starts as many as there are slots."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

from services import variables
from services.base import default_home
from services.panda.pilot.attempt import Settings
from services.panda.pilot.catalogue import Catalogue
from services.panda.pilot.patience import Stop
from services.panda.pilot.pilot import Pilot
from services.panda.pilot.server import PandaServer
from services.panda.pilot.status import Status
from services.panda.queues import QUEUES
from services.panda.tokens import pilot_token


def main() -> int:
    """Be the pilot until asked to end."""
    parser = argparse.ArgumentParser(prog="python -m services.panda.pilot")
    parser.add_argument("queue", choices=list(QUEUES))
    parser.add_argument("slot", type=int)
    given = parser.parse_args()
    logging.basicConfig(
        format=f"%(asctime)s {given.queue}/{given.slot} %(message)s", level=logging.INFO, stream=sys.stderr
    )
    home = default_home()
    parent = home / "pilots" / given.queue
    stop = Stop()
    stop.install()
    settings = Settings(
        queue=given.queue,
        node=f"{socket.gethostname()}_{given.slot}",
        label=os.environ.get("SWF_PILOT_LABEL") or "user",
        parent=parent,
        memory_mb=_limit("SWF_PILOT_MEMORY_MB"),
        disk_mb=_limit("SWF_PILOT_DISK_MB"),
        wall_seconds=_limit("SWF_PILOT_WALL_SECONDS"),
    )
    server = PandaServer(_base(os.environ["PANDA_URL_SSL"]), _token(home))
    status = Status(parent, given.slot)
    Pilot(settings, server, Catalogue(QUEUES[given.queue].rse), stop, status.say).run()
    return 0


def _base(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _token(home: Path) -> Path:
    return Path(os.environ.get("SWF_PILOT_TOKEN_FILE") or pilot_token(home / "panda"))


def _limit(name: str) -> int | None:
    return variables.number(name, 0) if os.environ.get(name) else None


if __name__ == "__main__":
    sys.exit(main())
