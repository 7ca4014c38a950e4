"""A witness of the exit buffer: whatever leaves it must, at that moment, be whole at every site."""

from __future__ import annotations

import hashlib
import re
import threading
from pathlib import Path

from apps.stf.container.checksum import adler32_file

STF_NAME = re.compile(r"swf\.\d+\.\d{6}\..+")


def site_copy(storage: Path, rse: str, name: str, scope: str = "group.daq") -> Path:
    """Where Rucio's deterministic path puts a file at a site."""
    digest = hashlib.md5(f"{scope}:{name}".encode()).hexdigest()
    return storage / rse / scope.replace(".", "/") / digest[:2] / digest[2:4] / name


class Witness(threading.Thread):
    """Looks at the buffer's directory all the time, and at the sites for every file that has gone.

    `unsafe` holds, by file name, what was wrong at the sites when a file went; `gone` every file that went.
    """

    def __init__(self, storage: Path, rses: tuple[str, ...] = ("E1_BNL", "E1_JLAB")) -> None:
        super().__init__(daemon=True)
        self.unsafe: dict[str, str] = {}
        self.gone: set[str] = set()
        self._storage = storage
        self._rses = rses
        self._checksums: dict[str, str] = {}
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Look a last time and end."""
        self._stopping.set()
        self.join()

    def run(self) -> None:
        while not self._stopping.wait(0.02):
            self._look()
        self._look()

    def _look(self) -> None:
        present = {
            path.name: path for path in self._storage.glob("E0_BUFFER/*/*") if STF_NAME.fullmatch(path.name)
        }
        for name, path in present.items():
            if name not in self._checksums:
                try:
                    self._checksums[name] = adler32_file(path)
                except FileNotFoundError:
                    self._checksums[name] = ""
        for name in self._checksums.keys() - present.keys() - self.gone:
            self.gone.add(name)
            if wrong := [rse for rse in self._rses if not self._is_whole(rse, name)]:
                self.unsafe[name] = f"deleted while {', '.join(wrong)} had no whole copy"

    def _is_whole(self, rse: str, name: str) -> bool:
        copy = site_copy(self._storage, rse, name)
        return copy.exists() and adler32_file(copy) == self._checksums[name]
