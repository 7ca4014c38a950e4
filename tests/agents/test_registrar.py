"""The registrar: all that waits is registered, trouble stays with the STF or run whose it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from apps.agents.data.closer import Closer
from apps.agents.data.follower import Follower
from apps.agents.data.registrar import Registrar
from apps.runs import services as runs
from apps.runs.errors import RetryableError
from tests.agents.catalogue import copies, name_of, registrations, settle
from tests.factories import TO_PHYSICS, a_run, a_running_run, an_stf, ended, kinds
from tests.fakes.rucio import FakeRucio

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def test_the_dataset_is_open_before_the_first_stf(registrar: Registrar, rucio: FakeRucio) -> None:
    run = a_run()
    for pair in TO_PHYSICS[:2]:
        runs.advance(run.run_number, pair)
    for _ in range(2):
        registrar.step()

    assert rucio.calls == ["open_dataset"]
    assert run.dataset.did == f"group.daq:{name_of(run)}"
    assert run.dataset.rules.keys() == {"E1_BNL", "E1_JLAB"}


def test_all_that_wait_are_registered_in_one_call(registrar: Registrar, rucio: FakeRucio) -> None:
    run = a_running_run()
    stfs = [an_stf(run, sequence) for sequence in range(1, 21)]
    assert registrar.step() is False

    assert rucio.calls == ["open_dataset", "register"]
    assert rucio.names_in(name_of(run)) == {stf.stf_filename for stf in stfs}
    assert registrations(run) == [("registered", "")] * 20
    assert copies(run) == {"requested"}


def test_killed_between_rucio_and_database_it_registers_again(registrar: Registrar, rucio: FakeRucio) -> None:
    def die(execute: Callable[..., Any], *statement: Any) -> Any:
        if "register" in rucio.calls:
            raise SystemExit
        return execute(*statement)

    run = a_running_run()
    an_stf(run)
    with connection.execute_wrapper(die), pytest.raises(SystemExit):
        registrar.step()
    assert registrations(run) == [("generated", "")]
    registrar.step()

    assert registrations(run) == [("registered", "")]
    assert kinds(run, "stf_ready") == ["stf_ready"]
    assert rucio.calls.count("register") == 2


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "cannot be read: No such file or directory"),
        (lambda path: path.write_bytes(b"cut"), "has 3 bytes, stf_gen said 22"),
    ],
)
def test_a_spoilt_file_fails_with_its_reason_and_harms_no_other(
    registrar: Registrar, spoil: Callable[[Path], object], reason: str
) -> None:
    run = a_running_run()
    for sequence in (1, 2, 3):
        an_stf(run, sequence, content=b"the bytes of the STF..")
    path = Path(run.stf_files.get(sequence=2).file_url)
    spoil(path)
    registrar.step()

    first, second, third = registrations(run)
    assert first == third == ("registered", "")
    assert second == ("failed", f"{path} {reason}")


def test_one_that_rucio_refuses_harms_no_other(registrar: Registrar, rucio: FakeRucio) -> None:
    run = a_running_run()
    stfs = [an_stf(run, sequence) for sequence in (1, 2, 3)]
    rucio.refused = {stfs[1].stf_filename}
    registrar.step()

    assert registrations(run) == [
        ("registered", ""),
        ("failed", f"Rucio refuses it: InvalidObject: {stfs[1].stf_filename}"),
        ("registered", ""),
    ]


def test_while_rucio_is_away_nothing_is_lost(registrar: Registrar, rucio: FakeRucio) -> None:
    run = a_running_run()
    an_stf(run)
    rucio.away = "connection refused"
    for _ in range(3):
        with pytest.raises(RetryableError, match="Rucio does not answer: connection refused"):
            registrar.step()
    assert registrations(run) == [("generated", "")]

    rucio.away = ""
    registrar.step()
    assert registrations(run) == [("registered", "")]


def test_a_late_stf_opens_the_dataset_again(
    registrar: Registrar, follower: Follower, closer: Closer, rucio: FakeRucio
) -> None:
    run = a_running_run()
    an_stf(run)
    ended(run, count=1)
    settle(registrar, rucio, follower, closer)
    assert not rucio.is_open(name_of(run))

    ended(run, count=2)
    an_stf(run, 2)
    registrar.step()
    assert rucio.is_open(name_of(run))
    assert registrations(run) == [("registered", "")] * 2


def test_a_run_whose_sites_rucio_does_not_know_harms_no_other(registrar: Registrar, rucio: FakeRucio) -> None:
    lost, run = a_running_run(rses=["E1_MARS"]), a_running_run()
    rucio.refused = {"E1_MARS"}
    for each in (lost, run):
        an_stf(each)
    registrar.step()

    assert registrations(run) == [("registered", "")]
    [(state, reason)] = registrations(lost)
    assert state == "failed"
    assert reason.startswith("Rucio refuses its dataset: InvalidRSEExpression")
