"""Where the bytes lie: one directory per storage element (RSE), for Rucio, XRootD and the DAQ alike; and one for the files
of fast monitoring, which Rucio does not know.
"""

from __future__ import annotations

from pathlib import Path

E0 = "E0_BUFFER"
E1 = ("E1_BNL", "E1_JLAB")
RSES = (E0, *E1)
FASTMON = "FASTMON"
STORES = (*RSES, FASTMON)


def storage_root(home: Path, store: str) -> Path:
    """The directory that holds the files of `store`; made by the engines that use it."""
    return home / "storage" / store
