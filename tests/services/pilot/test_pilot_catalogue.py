"""The pilots' gateway to Rucio, on a real one."""

from __future__ import annotations

import uuid
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from services.base import Engine
from services.panda.pilot.catalogue import Catalogue, Refused, Replica
from services.panda.pilot.errors import Away
from services.panda.pilot.job import File
from services.ports import LOOPBACK
from services.rucio.settings import SCOPE
from services.storage import E1, storage_root

pytestmark = pytest.mark.services


@pytest.fixture
def catalogue(rucio: Engine, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    for name, value in rucio.environment().items():
        monkeypatch.setenv(name, value)
    return Catalogue(E1[0])


def new(scope: str) -> File:
    return File(scope, f"pilot.{uuid.uuid4().hex}")


def client(catalogue: Catalogue) -> object:
    with catalogue._translated() as made:
        return made


def test_files_belong_where_rucio_expects_them(catalogue: Catalogue, rucio: Engine) -> None:
    files = [new(SCOPE), new("user.swf"), new("data"), new("data.with.dots")]
    dids = [f"{file.scope}:{file.lfn}" for file in files]
    pfns = client(catalogue).lfns2pfns(catalogue.rse, dids, scheme="file")  # type: ignore[attr-defined]
    for file, did in zip(files, dids, strict=True):
        assert catalogue.path(file) == Path(urlsplit(pfns[did]).path)
        assert catalogue.path(file).is_relative_to(storage_root(rucio.home, catalogue.rse))


def test_registered_files_are_found_here_and_only_here(catalogue: Catalogue) -> None:
    files = [new(SCOPE) for _ in range(3)]
    written = [(file, Replica(catalogue.path(file), 10 + n, f"0000000{n}")) for n, file in enumerate(files)]
    for _ in range(2):
        catalogue.register(written)
        assert catalogue.replicas(files) == {file.lfn: replica for file, replica in written}
    assert Catalogue(E1[1]).replicas(files) == {}


def test_new_scope_is_made(catalogue: Catalogue) -> None:
    file = new(f"user.{uuid.uuid4().hex[:8]}")
    catalogue.register([(file, Replica(catalogue.path(file), 10, "00000001"))])
    assert set(catalogue.replicas([file])) == {file.lfn}


def test_withdrawn_files_are_available_no_more(catalogue: Catalogue) -> None:
    known, unknown = new(SCOPE), new(SCOPE)
    catalogue.register([(known, Replica(catalogue.path(known), 10, "00000001"))])
    for _ in range(2):
        catalogue.withdraw([known, unknown])
        assert catalogue.replicas([known, unknown]) == {}


def test_wrong_place_is_refused(catalogue: Catalogue) -> None:
    file = new(SCOPE)
    with pytest.raises(Refused, match="InvalidPath"):
        catalogue.register([(file, Replica(Path("/elsewhere"), 10, "00000001"))])


def test_unknown_site_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises(Refused):
        Catalogue("E9_NOWHERE").path(new(SCOPE))


def test_silent_rucio_is_away(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RUCIO_HOST", "RUCIO_AUTH_HOST"):
        monkeypatch.setenv(name, f"http://{LOOPBACK}:9")
    with pytest.raises(Away, match="Rucio does not answer"):
        Catalogue(E1[0]).replicas([new(SCOPE)])
