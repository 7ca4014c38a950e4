"""What the server asks of Rucio: input datasets and their content, replicas, output datasets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import requests

CALL_SECONDS = 15
# The generic schema of Rucio takes at most 1000 items in a list.
MOST_FILES = 500

Did = tuple[str, str]  # scope and name


class CatalogueAway(Exception):
    """Rucio does not answer or is busy: the same call may succeed later."""


class CatalogueRefuses(Exception):
    """Rucio understood the call and refuses it; the text is its reason."""


@dataclass(frozen=True)
class DatasetState:
    """A dataset as it is now: open or closed, number of files, size in bytes."""

    is_open: bool
    length: int
    size: int


@dataclass(frozen=True)
class CatalogueFile:
    """A file of a dataset, or its replica at one site; adler32 in 8 hexadecimal digits, None if Rucio has none."""

    scope: str
    name: str
    size: int
    adler32: str | None


class Catalogue(Protocol):
    """The part of a data catalogue that the server needs. Each call may raise the two errors above."""

    def dataset(self, did: Did) -> DatasetState | None:
        """The dataset as it is now, None when there is none of this name."""

    def content(self, did: Did) -> list[CatalogueFile]:
        """The files of a dataset."""

    def available(self, dids: Sequence[Did], rse: str) -> dict[Did, CatalogueFile]:
        """Those of the files that have an available replica at `rse`."""

    def attach(self, dataset: Did, rse: str, dids: Sequence[Did]) -> None:
        """Put files into a dataset, which is made, or opened again, when needed. Again is as good as once."""

    def close(self, did: Did) -> None:
        """Close a dataset, if there is one of this name."""


class RucioCatalogue:
    """The catalogue that `RUCIO_*` name; for one thread."""

    def __init__(self) -> None:
        self._connected: Any = None

    def dataset(self, did: Did) -> DatasetState | None:
        """See `Catalogue`."""
        from rucio.common.exception import DataIdentifierNotFound

        with _translated():
            try:
                found = self._client.get_did(*did, dynamic_depth="FILE")
            except DataIdentifierNotFound:
                return None
        return DatasetState(bool(found["open"]), int(found["length"] or 0), int(found["bytes"] or 0))

    def content(self, did: Did) -> list[CatalogueFile]:
        """See `Catalogue`."""
        with _translated():
            return [
                CatalogueFile(one["scope"], one["name"], int(one["bytes"] or 0), one["adler32"])
                for one in self._client.list_content(*did)
            ]

    def available(self, dids: Sequence[Did], rse: str) -> dict[Did, CatalogueFile]:
        """See `Catalogue`."""
        found: dict[Did, CatalogueFile] = {}
        with _translated():
            for some in _portions(dids):
                replicas = self._client.list_replicas(
                    [{"scope": scope, "name": name} for scope, name in some],
                    rse_expression=rse,
                    all_states=True,
                    sort="random",  # by distance, the default, takes ten times as long
                )
                for one in replicas:
                    if one["states"].get(rse) == "AVAILABLE":
                        did = one["scope"], one["name"]
                        found[did] = CatalogueFile(*did, int(one["bytes"] or 0), one["adler32"])
        return found

    def attach(self, dataset: Did, rse: str, dids: Sequence[Did]) -> None:
        """See `Catalogue`."""
        from rucio.common.exception import DataIdentifierNotFound, UnsupportedOperation

        with _translated():
            for some in _portions(dids):
                try:
                    self._attach(dataset, some)
                except DataIdentifierNotFound:
                    self._make(dataset, rse)
                    self._attach(dataset, some)
                except UnsupportedOperation:
                    self._client.set_status(*dataset, open=True)
                    self._attach(dataset, some)

    def close(self, did: Did) -> None:
        """See `Catalogue`."""
        state = self.dataset(did)
        if state is not None and state.is_open:
            with _translated():
                self._client.set_status(*did, open=False)

    @property
    def _client(self) -> Any:
        if self._connected is None:
            from rucio.client import Client

            self._connected = Client(timeout=CALL_SECONDS)
        return self._connected

    def _attach(self, dataset: Did, dids: Iterable[Did]) -> None:
        scope, name = dataset
        files = [{"scope": one[0], "name": one[1]} for one in dids]
        attachment = {"scope": scope, "name": name, "dids": files}
        self._client.attach_dids_to_dids([attachment], ignore_duplicate=True)

    def _make(self, dataset: Did, rse: str) -> None:
        from rucio.common.exception import DataIdentifierAlreadyExists, Duplicate

        scope, name = dataset
        with suppress(Duplicate):
            self._client.add_scope(os.environ["RUCIO_ACCOUNT"], scope)
        rule = {"copies": 1, "rse_expression": rse, "account": os.environ["RUCIO_ACCOUNT"]}
        with suppress(DataIdentifierAlreadyExists):
            self._client.add_dataset(scope, name, rules=[rule])


def _portions(dids: Sequence[Did]) -> Iterator[Sequence[Did]]:
    for start in range(0, len(dids), MOST_FILES):
        yield dids[start : start + MOST_FILES]


@contextmanager
def _translated() -> Iterator[None]:
    """The exceptions of Rucio's client and of requests become the two of this module."""
    from rucio.common import exception as errors

    busy = (
        errors.ServerConnectionException,
        errors.ServiceUnavailable,
        errors.ResourceTemporaryUnavailable,
        errors.DatabaseException,
        requests.exceptions.RequestException,
    )
    try:
        yield
    except busy as error:
        raise CatalogueAway(f"Rucio does not answer: {_reason(error)}") from error
    except errors.RucioException as error:
        if "http status code: 5" in str(error):
            raise CatalogueAway(f"Rucio has an error of its own: {_reason(error)}") from error
        raise CatalogueRefuses(f"{type(error).__name__}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).replace("Details: ", "").split())[:500] or type(error).__name__
