"""The gateway to Rucio and its fake behave alike: what the unit tests stand on is what the real one does."""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from apps.agents.data.rucio import NO_REASON, BufferFile, FileFacts, RefusedByRucio, Rucio
from apps.runs.errors import RetryableError
from services.base import Engine
from services.rucio.settings import SCOPE
from services.storage import E0, E1, storage_root
from tests.fakes.rucio import FakeRucio
from tests.services.catalogue import poll

RUN_NUMBER = 100010


class Bench:
    """One gateway, a dataset's name that is new, and the exit buffer."""

    def __init__(self, gateway: Rucio, buffer: Path, make_copies: Callable[[], None]) -> None:
        self.gateway = gateway
        self.make_copies = make_copies
        self.dataset = f"swf.{uuid.uuid4().hex}.run"
        self._buffer = buffer / self.dataset
        self._buffer.mkdir(parents=True)

    def open(self) -> dict[str, str]:
        return self.gateway.open_dataset(SCOPE, self.dataset, rses=E1, run_number=RUN_NUMBER)

    def write(self, number: int, content: bytes = b"the bytes of an STF") -> BufferFile:
        path = self._buffer / f"{self.dataset}.{number:06d}.stf"
        path.write_bytes(content)
        return BufferFile(path.name, str(path), len(content), f"{zlib.adler32(content):08x}")

    def register(self, *files: BufferFile) -> None:
        self.gateway.register(SCOPE, self.dataset, rse=E0, files=files)

    def states(self, *files: BufferFile) -> dict[tuple[str, str], str]:
        return dict(self.gateway.copy_states(SCOPE, [file.name for file in files]))

    def wait(self, state: str, *files: BufferFile) -> None:
        """Until every copy at the Echelon 1 sites is in this state."""

        def reached() -> bool:
            self.make_copies()
            states = self.states(*files)
            return all(states.get((file.name, rse)) == state for file in files for rse in E1)

        poll(reached, lambda: self.states(*files))


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.services)])
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The fake, or the gateway to a running Rucio."""
    if request.param == "fake":
        fake = FakeRucio()
        return Bench(cast("Rucio", fake), tmp_path, fake.make_copies)
    engine: Engine = request.getfixturevalue("rucio")
    for name, value in engine.environment().items():
        monkeypatch.setenv(name, value)
    return Bench(Rucio(), storage_root(engine.home, E0), lambda: None)


def test_a_dataset_is_opened_with_a_rule_for_each_site_and_again_with_the_same(bench: Bench) -> None:
    rules = bench.open()

    assert rules.keys() == set(E1)
    assert len(set(rules.values())) == 2
    assert bench.open() == rules


def test_a_site_that_does_not_exist_is_refused(bench: Bench) -> None:
    if isinstance(bench.gateway, FakeRucio):
        bench.gateway.refused = {"E1_MARS"}
    with pytest.raises(RefusedByRucio, match="InvalidRSEExpression"):
        bench.gateway.open_dataset(SCOPE, bench.dataset, rses=["E1_MARS"], run_number=RUN_NUMBER)


def test_registered_files_are_copied_to_both_sites(bench: Bench) -> None:
    bench.open()
    files = [bench.write(number) for number in (1, 2)]
    bench.register(*files)
    assert {(file.name, E0) for file in files} <= bench.states(*files).keys()

    bench.wait("available", *files)
    assert bench.states(*files) == {(file.name, rse): "available" for file in files for rse in (E0, *E1)}


def test_registering_again_changes_nothing(bench: Bench) -> None:
    bench.open()
    first, second = bench.write(1), bench.write(2)
    bench.register(first)
    bench.register(first)
    bench.wait("available", first)
    bench.register(first, second)

    assert bench.states(first) == {(first.name, rse): "available" for rse in (E0, *E1)}


def test_a_known_name_with_other_bytes_is_refused_and_with_it_the_whole_call(bench: Bench) -> None:
    bench.open()
    bench.register(bench.write(1))
    other, innocent = bench.write(1, b"other bytes, same name"), bench.write(2)
    with pytest.raises(RefusedByRucio):
        bench.register(innocent, other)

    assert bench.states(innocent) == {}


def test_a_file_that_is_unknown_has_no_copies(bench: Bench) -> None:
    assert bench.states(bench.write(1)) == {}


def test_a_closed_dataset_takes_no_file_until_it_is_opened_again(bench: Bench) -> None:
    rules = bench.open()
    for _ in range(2):
        bench.gateway.close_dataset(SCOPE, bench.dataset)
    with pytest.raises(RefusedByRucio):
        bench.register(bench.write(1))

    assert bench.open() == rules
    bench.register(bench.write(1))


def test_a_dataset_that_is_unknown_is_not_closed(bench: Bench) -> None:
    with pytest.raises(RefusedByRucio, match="DataIdentifierNotFound"):
        bench.gateway.close_dataset(SCOPE, bench.dataset)


def test_a_withdrawn_file_is_unavailable_at_e0_and_there_at_the_sites(bench: Bench) -> None:
    bench.open()
    file = bench.write(1)
    bench.register(file)
    bench.wait("available", file)
    for _ in range(2):
        bench.gateway.withdraw(SCOPE, [file.name], rse=E0)

    assert bench.states(file) == {(file.name, E0): "failed"} | {(file.name, rse): "available" for rse in E1}


def test_a_file_that_is_unknown_is_not_withdrawn(bench: Bench) -> None:
    with pytest.raises(RefusedByRucio):
        bench.gateway.withdraw(SCOPE, [f"{bench.dataset}.nothing"], rse=E0)


def test_a_rule_that_is_unknown_is_refused(bench: Bench) -> None:
    with pytest.raises(RefusedByRucio, match="RuleNotFound"):
        bench.gateway.retry(uuid.uuid4().hex)


def test_a_copy_that_cannot_be_made_has_a_reason_and_can_be_tried_again(bench: Bench) -> None:
    rules = bench.open()
    file = bench.write(1)
    Path(file.path).unlink()
    if isinstance(bench.gateway, FakeRucio):
        bench.gateway.failing = {(file.name, rse): f"source file missing: {file.path}" for rse in E1}
    bench.register(file)
    bench.wait("failed", file)
    for rse in E1:
        assert bench.gateway.failure(SCOPE, file.name, rse=rse) == f"source file missing: {file.path}"

    assert bench.write(1) == file
    if isinstance(bench.gateway, FakeRucio):
        bench.gateway.failing = {}
    for rule in rules.values():
        bench.gateway.retry(rule)
    bench.wait("available", file)


def test_a_copy_that_was_never_tried_has_no_reason(bench: Bench) -> None:
    assert bench.gateway.failure(SCOPE, f"{bench.dataset}.nothing", rse=E1[0]) == NO_REASON


def test_a_rucio_that_is_not_there_is_said_to_be_away(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = "http://127.0.0.1:1"
    for name in ("RUCIO_HOST", "RUCIO_AUTH_HOST"):
        monkeypatch.setenv(name, nowhere)
    for name, value in {"ACCOUNT": "swf", "AUTH_TYPE": "userpass", "USERNAME": "x", "PASSWORD": "y"}.items():
        monkeypatch.setenv(f"RUCIO_{name}", value)

    with pytest.raises(RetryableError, match="Rucio does not answer: "):
        Rucio().copy_states(SCOPE, ["swf.1.000001.stf"])


def test_an_input_dataset_holds_what_is_attached_and_makes_no_copies(bench: Bench) -> None:
    bench.open()
    files = [bench.write(number) for number in (1, 2, 3)]
    names = [file.name for file in files]
    bench.register(*files)
    for _ in range(2):
        bench.gateway.open_input(SCOPE, f"{bench.dataset}.in", run_number=RUN_NUMBER)
        bench.gateway.attach(SCOPE, f"{bench.dataset}.in", names)
    assert bench.gateway.members(SCOPE, f"{bench.dataset}.in") == set(names)

    bench.gateway.detach(SCOPE, f"{bench.dataset}.in", names[:1])
    bench.gateway.detach(SCOPE, f"{bench.dataset}.in", names[:2])  # one of them is out already
    assert bench.gateway.members(SCOPE, f"{bench.dataset}.in") == {names[2]}
    bench.gateway.detach(SCOPE, f"{bench.dataset}.in", names)
    bench.gateway.detach(SCOPE, f"{bench.dataset}.in", names)
    assert bench.gateway.members(SCOPE, f"{bench.dataset}.in") == set()
    bench.gateway.attach(SCOPE, f"{bench.dataset}.in", names[:1])
    assert bench.gateway.members(SCOPE, f"{bench.dataset}.in") == {names[0]}


def test_a_closed_input_dataset_gives_up_files_but_takes_none_until_it_is_opened_again(bench: Bench) -> None:
    bench.open()
    file = bench.write(1)
    bench.register(file)
    bench.gateway.open_input(SCOPE, f"{bench.dataset}.in", run_number=RUN_NUMBER)
    bench.gateway.attach(SCOPE, f"{bench.dataset}.in", [file.name])
    bench.gateway.close_dataset(SCOPE, f"{bench.dataset}.in")
    bench.gateway.detach(SCOPE, f"{bench.dataset}.in", [file.name])
    with pytest.raises(RefusedByRucio, match="UnsupportedOperation"):
        bench.gateway.attach(SCOPE, f"{bench.dataset}.in", [file.name])

    bench.gateway.open_input(SCOPE, f"{bench.dataset}.in", run_number=RUN_NUMBER)
    bench.gateway.attach(SCOPE, f"{bench.dataset}.in", [file.name])


def test_what_is_unknown_is_not_attached_and_an_unknown_dataset_holds_nothing(bench: Bench) -> None:
    bench.gateway.open_input(SCOPE, f"{bench.dataset}.in", run_number=RUN_NUMBER)
    with pytest.raises(RefusedByRucio, match="DataIdentifierNotFound"):
        bench.gateway.attach(SCOPE, f"{bench.dataset}.in", [f"{bench.dataset}.nothing"])
    bench.gateway.detach(SCOPE, f"{bench.dataset}.never", [f"{bench.dataset}.nothing"])
    assert bench.gateway.members(SCOPE, f"{bench.dataset}.never") == set()


def test_the_facts_of_a_file_at_a_site_are_those_of_its_registration(bench: Bench) -> None:
    bench.open()
    file = bench.write(1)
    bench.register(file)
    bench.wait("available", file)
    facts = bench.gateway.files_at(SCOPE, [file.name, f"{bench.dataset}.nothing"], rse=E1[0])

    assert facts == {file.name: FileFacts(file.size_bytes, file.checksum, "available")}
    assert bench.gateway.files_at(SCOPE, [file.name], rse="E1_MARS") == {}
