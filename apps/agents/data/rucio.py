"""The gateway to Rucio: the only module of the project that imports its client.

It speaks plain values, keeps no state but the login, and knows three outcomes: done (again is as good as once),
`RetryableError` (Rucio or its database is away or busy), `RefusedByRucio` (the same call will never succeed).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import requests
from rucio.client import Client
from rucio.common import exception as rucio_errors

from apps.runs.errors import RetryableError

CALL_SECONDS = 15
# By this the embedded Rucio knows who archives: others stand back.
USER_AGENT = "swf-data"
# The generic schema of Rucio takes at most 1000 items in a list.
MOST_FILES = 500
ACTIVITY = "T0 Export"
NO_REASON = "Rucio gives no reason"

CopyState = Literal["available", "copying", "failed", "absent"]
_COPY_STATES: dict[str, CopyState] = {"AVAILABLE": "available", "COPYING": "copying", "UNAVAILABLE": "failed"}

_BUSY = (
    rucio_errors.ServerConnectionException,
    rucio_errors.ServiceUnavailable,
    rucio_errors.ResourceTemporaryUnavailable,
    rucio_errors.ReplicationRuleCreationTemporaryFailed,
    rucio_errors.DatabaseException,
    requests.exceptions.RequestException,
)


class RefusedByRucio(Exception):
    """Rucio understood the call and refuses it; the text is Rucio's reason."""


@dataclass(frozen=True)
class BufferFile:
    """A file in the exit buffer as it is to be registered. Size in bytes, checksum adler32 in 8 hexadecimal digits."""

    name: str
    path: str
    size_bytes: int
    checksum: str


@dataclass(frozen=True)
class FileFacts:
    """A file as Rucio knows it, and the state of one copy of it. Size in bytes, checksum adler32."""

    size_bytes: int
    checksum: str
    state: CopyState


class Rucio:
    """A client per thread, logged in on first use. Login and address come from `RUCIO_*`."""

    def __init__(self) -> None:
        self._threads = threading.local()

    def open_dataset(self, scope: str, name: str, *, rses: Sequence[str], run_number: int) -> dict[str, str]:
        """Make sure that the dataset exists, is open, and has one rule per RSE.

        Returns:
            The rule's id by RSE.
        """
        with _translated():
            self._make_dataset(scope, name, run_number)
            rules = self._rules(scope, name)
            for rse in rses:
                if rse not in rules:
                    rules[rse] = self._add_rule(scope, name, rse)
        return {rse: rules[rse] for rse in rses}

    def open_input(self, scope: str, name: str, *, run_number: int) -> None:
        """Make sure that the dataset exists and is open. It has no rules: what it holds is where it is."""
        with _translated():
            self._make_dataset(scope, name, run_number)

    def close_dataset(self, scope: str, name: str) -> None:
        """Close the dataset: no file can be attached any more. Closing a closed one is fine."""
        with _translated():
            client = self._client()
            if client.get_did(scope, name)["open"]:
                client.set_status(scope, name, open=False)

    def register(self, scope: str, dataset: str, *, rse: str, files: Sequence[BufferFile]) -> None:
        """Register files with their replica on `rse` and attach them to the dataset, in one call.

        Repeating it changes nothing; a known name with other bytes is refused.
        """
        dids = [
            {
                "scope": scope,
                "name": file.name,
                "bytes": file.size_bytes,
                "adler32": file.checksum,
                "pfn": f"file://localhost{file.path}",
            }
            for file in files
        ]
        with _translated():
            self._client().add_files_to_datasets(
                [{"scope": scope, "name": dataset, "rse": rse, "dids": dids}], ignore_duplicate=True
            )

    def attach(self, scope: str, dataset: str, names: Sequence[str]) -> None:
        """Put known files into the dataset too. Repeating it changes nothing; a closed dataset refuses."""
        dids = [{"scope": scope, "name": name} for name in names]
        with _translated():
            self._client().attach_dids_to_dids(
                [{"scope": scope, "name": dataset, "dids": dids}], ignore_duplicate=True
            )

    def detach(self, scope: str, dataset: str, names: Sequence[str]) -> None:
        """Take files out of the dataset; those that are not in it are left alone. The files stay where they are."""
        with _translated():
            try:
                self._client().detach_dids(scope, dataset, [{"scope": scope, "name": name} for name in names])
            except rucio_errors.DataIdentifierNotFound:
                # One that is not in it makes Rucio refuse all.
                left = sorted(self._members(scope, dataset).intersection(names))
                if left:
                    self._client().detach_dids(
                        scope, dataset, [{"scope": scope, "name": name} for name in left]
                    )

    def members(self, scope: str, dataset: str) -> set[str]:
        """The names of the files in the dataset; none if there is no such dataset."""
        with _translated():
            return self._members(scope, dataset)

    def files_at(self, scope: str, names: Sequence[str], *, rse: str) -> dict[str, FileFacts]:
        """What Rucio knows of the copies of these files at `rse`, by name; one that is left out has none there."""
        with _translated():
            replicas = self._client().list_replicas(
                [{"scope": scope, "name": name} for name in names], all_states=True, sort="random"
            )
            return {
                replica["name"]: FileFacts(
                    int(replica["bytes"] or 0),
                    replica["adler32"] or "",
                    _COPY_STATES.get(replica["states"][rse], "absent"),
                )
                for replica in replicas
                if rse in replica["states"]
            }

    def copy_states(self, scope: str, names: Iterable[str]) -> dict[tuple[str, str], CopyState]:
        """The state of every copy of these files, by name and RSE; a pair that is left out has no copy yet."""
        with _translated():
            replicas = self._client().list_replicas(
                # Sorted by distance, the default, takes Rucio ten times as long.
                [{"scope": scope, "name": name} for name in names],
                all_states=True,
                sort="random",
            )
            return {
                (replica["name"], rse): _COPY_STATES.get(state, "absent")
                for replica in replicas
                for rse, state in replica["states"].items()
            }

    def failure(self, scope: str, name: str, *, rse: str) -> str:
        """Why the copy of this file to `rse` failed last.

        The analysis of a rule would tell of all its files at once, but only that they failed.
        """
        with _translated():
            try:
                request = self._client().list_request_history_by_did(name, rse, scope)
            except rucio_errors.RequestNotFound:
                return NO_REASON
        return str(request["err_msg"] or NO_REASON)

    def retry(self, rule_id: str) -> None:
        """Let Rucio try the stuck copies of a rule again now, not in two hours."""
        with _translated():
            self._client().update_replication_rule(rule_id, {"boost_rule": True})

    def withdraw(self, scope: str, names: Sequence[str], *, rse: str) -> None:
        """The files are gone from `rse`: Rucio lists their replicas there as unavailable from now on.

        Not deleted: Rucio leaves that to its own reaper, which would want to delete the file as well.
        """
        files = [{"scope": scope, "name": name, "state": "U"} for name in names]
        with _translated():
            self._client().update_replicas_states(rse, files)

    def _client(self) -> Client:
        client = getattr(self._threads, "client", None)
        if client is None:
            client = self._threads.client = Client(
                rucio_host=os.environ["RUCIO_HOST"],
                auth_host=os.environ["RUCIO_AUTH_HOST"],
                account=os.environ["RUCIO_ACCOUNT"],
                auth_type=os.environ["RUCIO_AUTH_TYPE"],
                creds={"username": os.environ["RUCIO_USERNAME"], "password": os.environ["RUCIO_PASSWORD"]},
                timeout=CALL_SECONDS,
                user_agent=USER_AGENT,
            )
        return client

    def _make_dataset(self, scope: str, name: str, run_number: int) -> None:
        client = self._client()
        try:
            client.add_dataset(scope, name, meta={"run_number": run_number})
        except rucio_errors.DataIdentifierAlreadyExists:
            if not client.get_did(scope, name)["open"]:
                client.set_status(scope, name, open=True)

    def _members(self, scope: str, dataset: str) -> set[str]:
        try:
            return {did["name"] for did in self._client().list_content(scope, dataset)}
        except rucio_errors.DataIdentifierNotFound:
            return set()

    def _rules(self, scope: str, name: str) -> dict[str, str]:
        return {rule["rse_expression"]: rule["id"] for rule in self._client().list_did_rules(scope, name)}

    def _add_rule(self, scope: str, name: str, rse: str) -> str:
        try:
            ids: list[str] = self._client().add_replication_rule(
                [{"scope": scope, "name": name}],
                copies=1,
                rse_expression=rse,
                grouping="NONE",
                activity=ACTIVITY,
            )
        except rucio_errors.DuplicateRule:
            return self._rules(scope, name)[rse]
        return ids[0]


@contextmanager
def _translated() -> Iterator[None]:
    """Rucio's and requests' exceptions become this project's two."""
    try:
        yield
    except _BUSY as error:
        raise RetryableError(f"Rucio does not answer: {_reason(error)}") from error
    except rucio_errors.RucioException as error:
        if "http status code: 5" in str(error):
            raise RetryableError(f"Rucio has an error of its own: {_reason(error)}") from error
        raise RefusedByRucio(f"{type(error).__name__}: {_reason(error)}") from error


def _reason(error: Any) -> str:
    """One line, without the client's wrapping."""
    text = str(error).strip().replace("Details: ", "")
    return " ".join(text.split())[:500] or type(error).__name__
