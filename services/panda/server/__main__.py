"""`python -m services.panda.server SETTINGS`: the process of the embedded PanDA-compatible server.

It may be killed at any moment: everything it knows is in the database, and every step is one transaction that can be
done again. So SIGTERM needs no handling beyond uvicorn's.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
from pathlib import Path

import uvicorn

from services.loop import Loop, Step
from services.panda.server import feed, finish, generate, refine
from services.panda.server.adder import Adder
from services.panda.server.app import App
from services.panda.server.catalogue import Catalogue, RucioCatalogue
from services.panda.server.database import Database
from services.panda.server.watchdog import Watchdog
from services.panda.settings import Settings
from services.panda.tokens import Authority, write_tokens

# How often Rucio is asked for new files and for copies, as long as a task waits for them.
ASK_SECONDS = 1.0
WATCH_SECONDS = 1.0
LINGER_SECONDS = 3

log = logging.getLogger(__name__)


def main(settings: Settings) -> None:
    """Prepare the tables and serve."""
    taken = listen(settings.host, settings.port)
    directory = Path(settings.directory)
    settings.cache.mkdir(parents=True, exist_ok=True)
    authority = Authority(directory, f"{settings.base}/auth")
    write_tokens(directory, authority)
    database = Database(settings.database)
    database.open()
    database.wait_and_prepare()
    loops = make_loops(settings, database, RucioCatalogue())
    app = App(settings, database, authority, loops).asgi()
    for loop in loops:
        loop.start()
    log.warning("serving on port %d", settings.port)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=LINGER_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[taken])


def make_loops(settings: Settings, database: Database, catalogue: Catalogue) -> list[Loop]:
    """The steps in two threads: what waits for Rucio must not keep the rest from being done."""
    loops: list[Loop] = []

    def wake() -> None:
        for loop in loops:
            loop.wake()

    jedi, ddm = make_steps(settings, database, catalogue)
    loops += [Loop(steps, threading.Event(), wake) for steps in (jedi, ddm)]
    return loops


def make_steps(settings: Settings, database: Database, catalogue: Catalogue) -> tuple[list[Step], list[Step]]:
    """The steps that need only the tables, and those that need the catalogue."""
    stager = generate.Stager(database, catalogue)
    watchdog = Watchdog(database, settings.heartbeat)
    jedi = [
        Step("register", lambda: refine.register_tasks(database)),
        Step("obey", lambda: finish.obey(database)),
        Step("carry out", lambda: finish.carry_out(database)),
        Step("ready", lambda: feed.ready_tasks(database)),
        Step("generate", lambda: generate.generate_jobs(database)),
        Step("assign", stager.assign),
        Step("watch", watchdog.watch, every=WATCH_SECONDS),
        Step("break", lambda: refine.break_tasks(database)),
        Step("settle", lambda: finish.settle(database)),
    ]
    feeder, adder = feed.Feeder(database, catalogue), Adder(database, catalogue)
    ddm = [
        Step("refine", lambda: refine.refine_tasks(database, catalogue)),
        Step("feed", feeder.feed, every=ASK_SECONDS),
        Step("activate new", stager.activate_new),
        Step("activate", stager.activate, every=ASK_SECONDS),
        Step("add", adder.add),
        Step("conclude", lambda: finish.conclude(database, catalogue)),
    ]
    return jedi, ddm


def listen(host: str, port: int) -> socket.socket:
    """Take the port. It is also the lock that keeps a second process off the tables."""
    # asyncio sends without delay only where the protocol is named; otherwise every reply waits 40 ms for an ACK.
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind((host, port))
    return taken


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # The pool says at every attempt what is said once elsewhere.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    main(Settings.load(Path(sys.argv[1])))
