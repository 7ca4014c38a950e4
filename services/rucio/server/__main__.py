"""`python -m services.rucio.server SETTINGS`: the Rucio process.

It may be killed at any moment: the catalogue is transactional, a copy appears under its name only when it is
verified, and what was under way is queued again at the next start. So SIGTERM needs no handling either.
"""

from __future__ import annotations

import logging
import shutil
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from services.copying import copy_file
from services.rucio.server.config import configure, use_checked_schemas, use_memory_cache
from services.rucio.server.third_party import copy_third_party
from services.rucio.server.web import listen, serve
from services.rucio.settings import Settings

if TYPE_CHECKING:
    from services.rucio.server.copies import Copy

# Beside the data, on the same file system, so that a finished copy takes its name by a rename.
DRAFTS = ".incoming"
# A third-party copy mostly waits: its client looks every few seconds whether the servers are done.
COPY_THREADS = {"file": 4, "root": 16}

log = logging.getLogger(__name__)


def main(settings: Settings) -> None:
    """Prepare the catalogue and serve."""
    taken = listen(settings.host, settings.port)
    configure(settings)
    use_memory_cache()
    use_checked_schemas()
    # Rucio reads its configuration and takes its cache when it is imported.
    from rucio.web.rest.flaskapi.v1.main import application

    from services.rucio.server import bootstrap, copies, daemons
    from services.rucio.server.loop import DaemonLoop
    from services.rucio.server.topology import ensure_topology

    bootstrap.ensure_schema(bootstrap.connect())
    ensure_topology(settings)
    for root in settings.storage.values():
        shutil.rmtree(Path(root) / DRAFTS, ignore_errors=True)
    requeued = daemons.requeue_interrupted()
    log.warning("serving on port %d; %d interrupted transfers queued again", settings.port, requeued)

    wake = threading.Event()
    scheme = "root" if settings.xrootd else "file"
    pool = copies.Pool(partial(make_copy, settings), COPY_THREADS[scheme], wake)
    loop = DaemonLoop(daemons.steps(pool, scheme), wake)
    loop.start()
    serve(taken, application, loop, wake)


def make_copy(settings: Settings, job: Copy) -> None:
    """Make one copy by the means that its URLs ask for.

    Raises:
        CopyError: it was not made.
    """
    # The job's name is new at every try: a program that outlived a killed Rucio may still write the former draft.
    draft = f"{DRAFTS}/{job.request_id}.{job.job}"
    if urlsplit(job.target).scheme == "root":
        copy_third_party(job.source, job.target, f"/{draft}", job.size, job.adler32)
        return
    source, target = Path(urlsplit(job.source).path), Path(urlsplit(job.target).path)
    copy_file(source, target, Path(settings.storage[job.target_rse]) / draft, job.size, job.adler32)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Rucio's client asks with 0 and 1, and Rucio's server complains about it at every request.
    logging.getLogger().addFilter(lambda record: not record.getMessage().startswith("Booleans should only"))
    main(Settings.load(Path(sys.argv[1])))
