"""Rucio, as far as a pilot needs it: where a file lies at its site, and what it has written there."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from rucio.client import Client
from rucio.common import exception as rucio_errors

from services.panda.pilot.errors import Away
from services.panda.pilot.job import File

# Less than the silence after which PanDA gives a job up.
CALL_SECONDS = 8
# Rucio's client logs each of its own attempts; the pilot says once that it waits.
logging.getLogger("baseclient").setLevel(logging.CRITICAL)

_BUSY = (
    rucio_errors.ServerConnectionException,
    rucio_errors.ServiceUnavailable,
    rucio_errors.ResourceTemporaryUnavailable,
    rucio_errors.DatabaseException,
    requests.exceptions.RequestException,
)


class Refused(Exception):
    """Rucio understood the call and refuses it; the text is its reason."""


@dataclass(frozen=True)
class Replica:
    """A file at a site: where, its size in bytes and its adler32 as the catalogue has them."""

    path: Path
    size: int
    adler32: str


class Catalogue:
    """A client that logs in on first use. Login and address come from `RUCIO_*`."""

    def __init__(self, rse: str) -> None:
        self.rse = rse
        self._client_made: Client | None = None
        self._prefix: Path | None = None

    def replicas(self, files: Sequence[File]) -> dict[str, Replica]:
        """By name, of those files that have an available replica at this RSE.

        Raises:
            Away, Refused: Rucio does not answer, or refuses.
        """
        with self._translated() as client:
            found = client.list_replicas(
                # Sorted by distance, the default, takes Rucio ten times as long.
                [{"scope": file.scope, "name": file.lfn} for file in files],
                schemes=["file"],
                rse_expression=self.rse,
                sort="random",
            )
            return {
                one["name"]: Replica(Path(urlsplit(pfns[0]).path), one["bytes"], one["adler32"])
                for one in found
                if (pfns := one["rses"].get(self.rse))
            }

    def path(self, file: File) -> Path:
        """Where a file of this name belongs at this RSE: Rucio's hashed path.

        Raises:
            Away, Refused: Rucio does not answer, or refuses.
        """
        if self._prefix is None:
            self._prefix = self._file_prefix()
        digest = hashlib.md5(f"{file.scope}:{file.lfn}".encode(), usedforsecurity=False).hexdigest()
        scope = file.scope
        if scope.startswith(("user", "group")):
            scope = scope.replace(".", "/")
        return self._prefix / scope / digest[:2] / digest[2:4] / file.lfn

    def register(self, written: Sequence[tuple[File, Replica]]) -> None:
        """Make files known with their replica here. Again changes nothing.

        The names must be new: Rucio keeps the size and checksum that it has of a known name, without a word.

        Raises:
            Away, Refused: Rucio does not answer, or refuses.
        """
        files = [
            {
                "scope": file.scope,
                "name": file.lfn,
                "bytes": replica.size,
                "adler32": replica.adler32,
                "pfn": f"file://localhost{replica.path}",
            }
            for file, replica in written
        ]
        with self._translated() as client:
            try:
                client.add_replicas(self.rse, files)
            except rucio_errors.ScopeNotFound:
                for scope in {file.scope for file, _ in written}:
                    with suppress(rucio_errors.Duplicate):
                        client.add_scope(client.account, scope)
                client.add_replicas(self.rse, files)

    def withdraw(self, files: Sequence[File]) -> None:
        """List these files as unavailable here, those that are known.

        Not deleted: Rucio leaves that to its own reaper, which would want to delete the file as well.

        Raises:
            Away, Refused: Rucio does not answer, or refuses.
        """
        known = self.replicas(files)
        states = [
            {"scope": file.scope, "name": file.lfn, "state": "U"} for file in files if file.lfn in known
        ]
        if states:
            with self._translated() as client:
                client.update_replicas_states(self.rse, states)

    def _file_prefix(self) -> Path:
        """The directory behind the RSE."""
        with self._translated() as client:
            protocols = client.get_protocols(self.rse)
        for protocol in protocols:
            if protocol["scheme"] == "file":
                return Path(protocol["prefix"])
        raise Refused(f"{self.rse} has no protocol `file`, by which a local pilot could write to it")

    @contextmanager
    def _translated(self) -> Iterator[Client]:
        """The client; its exceptions and those of requests become two of ours."""
        try:
            if self._client_made is None:
                self._client_made = _login()
            yield self._client_made
        except _BUSY as error:
            raise Away(f"Rucio does not answer: {_reason(error)}") from error
        except rucio_errors.RucioException as error:
            if "http status code: 5" in str(error):
                raise Away(f"Rucio has an error of its own: {_reason(error)}") from error
            raise Refused(f"{type(error).__name__}: {_reason(error)}") from error


def _login() -> Client:
    return Client(
        rucio_host=os.environ["RUCIO_HOST"],
        auth_host=os.environ["RUCIO_AUTH_HOST"],
        account=os.environ["RUCIO_ACCOUNT"],
        auth_type=os.environ["RUCIO_AUTH_TYPE"],
        creds={"username": os.environ["RUCIO_USERNAME"], "password": os.environ["RUCIO_PASSWORD"]},
        timeout=CALL_SECONDS,
    )


def _reason(error: Any) -> str:
    """One line, without the client's wrapping."""
    text = str(error).strip().replace("Details: ", "")
    return " ".join(text.split())[:300] or type(error).__name__
