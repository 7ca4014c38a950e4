"""Where the bytes lie: one directory per storage element (RSE), for Rucio, XRootD and the DAQ alike."""

from __future__ import annotations

from pathlib import Path

E0 = "E0_BUFFER"
E1 = ("E1_BNL", "E1_JLAB")
RSES = (E0, *E1)


def storage_root(home: Path, rse: str) -> Path:
    """The directory that holds the files of `rse`; made by the engines that use it."""
    return home / "storage" / rse
