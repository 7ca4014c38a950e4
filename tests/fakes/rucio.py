"""Rucio in memory: the gateway's methods, with the outcomes that `tests/services/test_rucio_gateway.py` sees the real one
have, and the troubles that the real one has only rarely."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from apps.agents.data.rucio import NO_REASON, BufferFile, CopyState, FileFacts, RefusedByRucio
from apps.runs.errors import RetryableError


@dataclass
class _Dataset:
    rules: dict[str, str] = field(default_factory=dict)
    is_open: bool = True
    names: set[str] = field(default_factory=set)


class FakeRucio:
    """A catalogue whose copies are made when `make_copies` is called.

    Attributes:
        away: the reason why it does not answer; empty while it does.
        refused: names of files that it will not have, and RSEs that it does not know.
        failing: reason by (file name, RSE) for copies that cannot be made.
        stuck: (file name, RSE) of copies that stay under way.
        calls: the names of the methods called, in order.
    """

    def __init__(self) -> None:
        self.away = ""
        self.refused: set[str] = set()
        self.failing: dict[tuple[str, str], str] = {}
        self.stuck: set[tuple[str, str]] = set()
        self.calls: list[str] = []
        self._datasets: dict[str, _Dataset] = {}
        self._files: dict[str, BufferFile] = {}
        self._copies: dict[tuple[str, str], CopyState] = {}
        self._failures: dict[tuple[str, str], str] = {}

    def open_dataset(self, scope: str, name: str, *, rses: Sequence[str], run_number: int) -> dict[str, str]:
        self._answer("open_dataset")
        for rse in rses:
            self._refuse(
                rse in self.refused, f"InvalidRSEExpression: RSE Expression resulted in an empty set: {rse}"
            )
        dataset = self._datasets.setdefault(name, _Dataset())
        dataset.is_open = True
        for rse in rses:
            dataset.rules.setdefault(rse, f"rule-{name}-{rse}")
        return {rse: dataset.rules[rse] for rse in rses}

    def open_input(self, scope: str, name: str, *, run_number: int) -> None:
        self._answer("open_input")
        self._datasets.setdefault(name, _Dataset()).is_open = True

    def close_dataset(self, scope: str, name: str) -> None:
        self._answer("close_dataset")
        self._dataset(name).is_open = False

    def register(self, scope: str, dataset: str, *, rse: str, files: Sequence[BufferFile]) -> None:
        self._answer("register")
        into = self._dataset(dataset)
        self._refuse(not into.is_open, f"UnsupportedOperation: {dataset} is closed")
        for file in files:
            known = self._files.get(file.name, file)
            same = (known.size_bytes, known.checksum) == (file.size_bytes, file.checksum)
            self._refuse(not same, f"FileConsistencyMismatch: {file.name}")
            self._refuse(file.name in self.refused, f"InvalidObject: {file.name}")
        for file in files:
            self._files[file.name] = file
            self._copies.setdefault((file.name, rse), "available")
            into.names.add(file.name)
            for site in into.rules:
                self._copies.setdefault((file.name, site), "copying")

    def attach(self, scope: str, dataset: str, names: Sequence[str]) -> None:
        self._answer("attach")
        into = self._dataset(dataset)
        self._refuse(not into.is_open, f"UnsupportedOperation: {dataset} is closed")
        for name in names:
            known = name in self._files and name not in self.refused
            self._refuse(not known, f"DataIdentifierNotFound: {name}")
        into.names.update(names)

    def detach(self, scope: str, dataset: str, names: Sequence[str]) -> None:
        self._answer("detach")
        if dataset in self._datasets:
            self._datasets[dataset].names.difference_update(names)

    def members(self, scope: str, dataset: str) -> set[str]:
        self._answer("members")
        return set(self._datasets[dataset].names) if dataset in self._datasets else set()

    def files_at(self, scope: str, names: Sequence[str], *, rse: str) -> dict[str, FileFacts]:
        self._answer("files_at")
        return {
            name: FileFacts(self._files[name].size_bytes, self._files[name].checksum, self._copies[name, rse])
            for name in names
            if (name, rse) in self._copies
        }

    def copy_states(self, scope: str, names: Iterable[str]) -> dict[tuple[str, str], CopyState]:
        self._answer("copy_states")
        wanted = set(names)
        return {copy: state for copy, state in self._copies.items() if copy[0] in wanted}

    def failure(self, scope: str, name: str, *, rse: str) -> str:
        self._answer("failure")
        return self._failures.get((name, rse), NO_REASON)

    def retry(self, rule_id: str) -> None:
        self._answer("retry")
        dataset, rse = self._rule(rule_id)
        for name in dataset.names:
            if self._copies[name, rse] == "failed":
                self._copies[name, rse] = "copying"

    def withdraw(self, scope: str, names: Sequence[str], *, rse: str) -> None:
        self._answer("withdraw")
        for name in names:
            self._refuse((name, rse) not in self._copies, f"ReplicaNotFound: {name} at {rse}")
            self._copies[name, rse] = "failed"

    def make_copies(self) -> None:
        """Let every copy under way arrive, or fail if it must; stuck ones stay under way."""
        for copy, state in self._copies.items():
            if state == "copying" and copy not in self.stuck:
                self._copies[copy] = "failed" if copy in self.failing else "available"
        self._failures |= self.failing

    def put_output(self, dataset: str, file: BufferFile, *, rse: str) -> None:
        """A job has written this file at `rse` and registered it in the dataset; "" for none."""
        self._files[file.name] = file
        self._copies[file.name, rse] = "available"
        if dataset:
            self._datasets.setdefault(dataset, _Dataset()).names.add(file.name)

    def is_open(self, name: str) -> bool:
        return self._datasets[name].is_open

    def names_in(self, name: str) -> set[str]:
        return self._datasets[name].names

    def _answer(self, method: str) -> None:
        if self.away:
            raise RetryableError(f"Rucio does not answer: {self.away}")
        self.calls.append(method)

    def _dataset(self, name: str) -> _Dataset:
        self._refuse(name not in self._datasets, f"DataIdentifierNotFound: {name}")
        return self._datasets[name]

    def _rule(self, rule_id: str) -> tuple[_Dataset, str]:
        for dataset in self._datasets.values():
            for rse, known in dataset.rules.items():
                if known == rule_id:
                    return dataset, rse
        raise RefusedByRucio(f"RuleNotFound: {rule_id}")

    @staticmethod
    def _refuse(really: bool, why: str) -> None:
        if really:
            raise RefusedByRucio(why)
