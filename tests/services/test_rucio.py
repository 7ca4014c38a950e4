"""The embedded Rucio moves real bytes, says why it could not, and finishes what a crash interrupted."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections

from services.base import Engine, EngineError
from services.rucio.engine import Rucio
from services.rucio.settings import SCOPE
from services.storage import E1, RSES, storage_root
from tests.services.catalogue import Catalogue, poll

pytestmark = pytest.mark.services


@pytest.fixture
def catalogue(rucio: Engine) -> Catalogue:
    """A new run with a rule for each site."""
    return Catalogue(rucio)


@pytest.fixture
def mortal(postgres: Engine) -> Iterator[Engine]:
    """The database. Tests that come later do not ask over connections that ended with it."""
    yield postgres
    connections.close_all()


def test_the_topology_is_complete(catalogue: Catalogue) -> None:
    client = catalogue.client
    assert sorted(rse["rse"] for rse in client.list_rses()) == sorted(RSES)
    assert {rse["rse"] for rse in client.list_rses("echelon=1")} == set(E1)
    assert client.whoami()["account"] == "swf"
    assert SCOPE in client.list_scopes()


def test_bytes_arrive_at_both_sites(catalogue: Catalogue) -> None:
    files = catalogue.write(5, size=300_000)
    catalogue.register(files)
    catalogue.wait_verified(files)
    # Rucio's default order of replicas asks a geographical database that is not there.
    replicas = catalogue.client.list_replicas([{"scope": SCOPE, "name": catalogue.run}], sort="random")
    assert {file["name"]: set(file["rses"]) for file in replicas} == {file.name: set(RSES) for file in files}


def test_an_altered_source_is_refused_with_the_reason(catalogue: Catalogue) -> None:
    altered, missing = files = catalogue.write(2)
    altered.path.write_bytes(altered.content[:-1] + bytes([altered.content[-1] ^ 1]))
    missing.path.unlink()
    catalogue.register(files)
    catalogue.wait(lambda rule: rule["state"] == "STUCK" and rule["locks_stuck_cnt"] == 2)

    for rse, rule in catalogue.rules.items():
        stuck = {file["name"]: file for file in catalogue.client.examine_replication_rule(rule)["transfers"]}
        assert stuck.keys() == {altered.name, missing.name}
        assert stuck[altered.name]["attempts"] == 4
        assert _why(catalogue, altered.name, rse).startswith("source file altered: adler32 ")
        assert _why(catalogue, missing.name, rse) == f"source file missing: {missing.path}"
        assert not catalogue.copy_at(rse, altered).exists()

    altered.path.write_bytes(altered.content)
    missing.path.write_bytes(missing.content)
    for rule in catalogue.rules.values():
        catalogue.client.update_replication_rule(rule, {"boost_rule": True})
    catalogue.wait_verified(files)


def test_a_killed_rucio_finishes_after_its_restart(catalogue: Catalogue, rucio: Engine) -> None:
    files = catalogue.write(60, size=1_000_000)
    catalogue.register(files)
    poll(lambda: any(storage_root(rucio.home, E1[0]).rglob(f"{catalogue.run}.*")))
    _kill(rucio)
    rucio.start()
    catalogue.wait_verified(files)
    for rse in E1:
        drafts = storage_root(rucio.home, rse) / ".incoming"
        assert not drafts.exists() or not any(drafts.iterdir())


def test_rucio_survives_a_killed_database(catalogue: Catalogue, rucio: Engine, mortal: Engine) -> None:
    files = catalogue.write(30)
    catalogue.register(files)
    _kill(mortal)
    mortal.start()
    rucio.wait_ready()
    catalogue.wait_verified(files)


def test_readiness_names_the_failing_daemon(rucio: Engine, mortal: Engine) -> None:
    assert rucio.ready() is None
    mortal.stop()
    try:
        poll(lambda: " failing: " in str(rucio.ready()))
    finally:
        mortal.start()
        rucio.wait_ready()


def _why(catalogue: Catalogue, name: str, rse: str) -> str:
    return str(catalogue.client.list_request_history_by_did(name, rse, SCOPE)["err_msg"])


def _kill(engine: Engine) -> None:
    assert engine.pid
    os.kill(engine.pid, signal.SIGKILL)
    engine.stop()


def test_others_may_be_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private = Rucio(tmp_path).settings()
    assert private.host == "127.0.0.1"
    monkeypatch.setenv("SWF_RUCIO_LISTEN", "0.0.0.0:8080")
    monkeypatch.delenv("RUCIO_PASSWORD", raising=False)
    with pytest.raises(EngineError, match="SWF_RUCIO_LISTEN lets others in: set RUCIO_PASSWORD"):
        Rucio(tmp_path).settings()
    monkeypatch.setenv("RUCIO_PASSWORD", "known to others")
    public = Rucio(tmp_path).settings()
    assert (public.host, public.port, public.password) == ("0.0.0.0", 8080, "known to others")
    monkeypatch.setenv("SWF_RUCIO_LISTEN", "8080")
    with pytest.raises(EngineError, match="must be host:port"):
        Rucio(tmp_path).settings()
