"""The PanDA queues of the testbed: one at each Echelon 1 site, served by the local pilots."""

from __future__ import annotations

from dataclasses import dataclass

from services.storage import E1


@dataclass(frozen=True)
class Queue:
    """One PanDA queue.

    Attributes:
        name: what tasks name as their site and pilots ask for.
        rse: storage from which its jobs read and to which they write.
        slots: jobs that run there at a time.
    """

    name: str
    rse: str
    slots: int = 2


QUEUES = {site: Queue(name=site, rse=site) for site in E1}
