"""A data catalogue in memory, for the tests of the server's steps."""

from __future__ import annotations

from collections.abc import Sequence

from services.panda.server.catalogue import CatalogueAway, CatalogueFile, DatasetState, Did


class MemoryCatalogue:
    """As `services.panda.server.catalogue.Catalogue`; `away` makes every call fail."""

    def __init__(self) -> None:
        self.away = False
        self.datasets: dict[Did, set[Did]] = {}
        self.closed: set[Did] = set()
        self.files: dict[Did, CatalogueFile] = {}
        self.replicas: set[tuple[Did, str]] = set()

    def add(self, did: Did, rse: str, size: int = 2, adler32: str = "01") -> None:
        """A file with an available replica."""
        self.files[did] = CatalogueFile(*did, size, adler32)
        self.replicas.add((did, rse))

    def dataset(self, did: Did) -> DatasetState | None:
        """See `Catalogue`."""
        self._check()
        if did not in self.datasets:
            return None
        content = self.datasets[did]
        return DatasetState(
            did not in self.closed, len(content), sum(self.files[one].size for one in content)
        )

    def content(self, did: Did) -> list[CatalogueFile]:
        """See `Catalogue`."""
        self._check()
        return [self.files[one] for one in sorted(self.datasets[did])]

    def available(self, dids: Sequence[Did], rse: str) -> dict[Did, CatalogueFile]:
        """See `Catalogue`."""
        self._check()
        return {did: self.files[did] for did in dids if (did, rse) in self.replicas}

    def attach(self, dataset: Did, rse: str, dids: Sequence[Did]) -> None:
        """See `Catalogue`."""
        self._check()
        self.datasets.setdefault(dataset, set()).update(dids)
        self.closed.discard(dataset)

    def close(self, did: Did) -> None:
        """See `Catalogue`."""
        self._check()
        self.closed.add(did)

    def _check(self) -> None:
        if self.away:
            raise CatalogueAway("Rucio does not answer")
