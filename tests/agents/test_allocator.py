"""The allocator: every STF is in the dataset of its site and in no other, and in none while something holds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.agents.data.allocator import Allocator
from apps.agents.data.registrar import Registrar
from apps.runs.errors import RetryableError
from apps.runs.models import Run
from apps.stf import services
from tests.agents.catalogue import registrations
from tests.factories import a_running_run, an_stf, ended, kinds
from tests.fakes.rucio import FakeRucio
from tests.processing import BNL, JLAB, clear, process, task_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


@pytest.fixture
def allocator(rucio: FakeRucio) -> Allocator:
    return Allocator(rucio)  # type: ignore[arg-type]


def a_registered_run(registrar: Registrar, stfs: int = 4, **overrides: Any) -> Run:
    run = a_running_run(**{"policy": "round-robin", **overrides})
    for sequence in range(1, stfs + 1):
        an_stf(run, sequence)
    registrar.step()
    return run


def members(rucio: FakeRucio, run: Run, site: str) -> list[int]:
    """The sequences of the STFs in the site's input dataset."""
    names = rucio.names_in(services.input_name(run, site))
    stfs = run.stf_files.filter(stf_filename__in=names).order_by("sequence")
    return list(stfs.values_list("sequence", flat=True))


def test_where_nothing_is_to_be_processed_it_asks_little(allocator: Allocator) -> None:
    an_stf(a_running_run())
    with CaptureQueriesContext(connection) as queries:
        assert allocator.step() is False

    assert len(queries) == 2


def test_every_stf_goes_into_the_dataset_of_its_site_in_one_call(
    registrar: Registrar, allocator: Allocator, rucio: FakeRucio
) -> None:
    run = a_registered_run(registrar)
    for _ in range(2):
        assert allocator.step() is False

    assert (members(rucio, run, BNL), members(rucio, run, JLAB)) == ([1, 3], [2, 4])
    assert rucio.calls[-4:] == ["open_input", "attach", "open_input", "attach"]


def test_with_policy_none_rucio_is_asked_nothing(
    registrar: Registrar, allocator: Allocator, rucio: FakeRucio
) -> None:
    a_registered_run(registrar, policy="none")
    asked = list(rucio.calls)
    allocator.step()
    assert rucio.calls == asked


@pytest.mark.parametrize("method", ["attach", "detach", "close_dataset"])
def test_killed_between_rucio_and_database_it_goes_on_to_the_same_end(
    registrar: Registrar, allocator: Allocator, rucio: FakeRucio, method: str
) -> None:
    def die(execute: Callable[..., Any], sql: str, *statement: Any) -> Any:
        if rucio.calls[asked:].count(method) and sql.startswith("UPDATE"):
            raise SystemExit
        return execute(sql, *statement)

    run, asked = a_registered_run(registrar), 0
    if method != "attach":
        allocator.step()
    asked = len(rucio.calls)
    if method == "detach":
        services.site_down(JLAB, by="ann", reason="flood")
    if method == "close_dataset":
        process(run, [1, 3])
        process(run, [2, 4], site=JLAB)
    ended(run, count=4)
    with connection.execute_wrapper(die), pytest.raises(SystemExit):
        allocator.step()
    an_stf(run, 5)
    ended(run, count=5)
    registrar.step()
    allocator.step()

    assert members(rucio, run, BNL) == [1, 3, 5]
    assert members(rucio, run, JLAB) == ([] if method == "detach" else [2, 4])


def test_a_site_that_is_down_loses_its_stfs_to_the_other_and_gets_them_back(
    registrar: Registrar, allocator: Allocator, rucio: FakeRucio
) -> None:
    run = a_registered_run(registrar)
    allocator.step()
    services.site_down(JLAB, by="ann", reason="flood")
    allocator.step()
    assert (members(rucio, run, BNL), members(rucio, run, JLAB)) == ([1, 3], [])
    clear()
    allocator.step()
    assert (members(rucio, run, BNL), members(rucio, run, JLAB)) == ([1, 2, 3, 4], [])

    services.site_up(JLAB, by="ann", reason="dry")
    allocator.step()
    clear()
    allocator.step()
    assert (members(rucio, run, BNL), members(rucio, run, JLAB)) == ([1, 3], [2, 4])
    assert kinds(run, "processing_moved") == ["processing_moved"] * 4


def test_a_brake_empties_the_datasets_and_releasing_it_fills_them_again(
    registrar: Registrar, allocator: Allocator, rucio: FakeRucio
) -> None:
    run = a_registered_run(registrar)
    allocator.step()
    services.brake_on(None, by="ann", reason="look")
    allocator.step()
    assert (members(rucio, run, BNL), members(rucio, run, JLAB)) == ([], [])

    services.brake_off(None, by="ann", reason="fine")
    allocator.step()
    assert (members(rucio, run, BNL), members(rucio, run, JLAB)) == ([1, 3], [2, 4])


def test_datasets_are_closed_after_the_last_stf_and_opened_again_for_a_late_one(
    registrar: Registrar, allocator: Allocator, rucio: FakeRucio
) -> None:
    run = a_registered_run(registrar)
    allocator.step()
    ended(run, count=4)
    allocator.step()
    assert rucio.is_open(services.input_name(run, BNL))
    process(run, [1, 3])
    process(run, [2, 4], site=JLAB)
    allocator.step()
    assert not rucio.is_open(services.input_name(run, BNL))
    assert not task_of(run).is_open

    ended(run, count=5)
    an_stf(run, 5)
    registrar.step()
    allocator.step()
    assert members(rucio, run, BNL) == [1, 3, 5]
    process(run, [5])
    allocator.step()
    assert not task_of(run).is_open  # and closed once more
    assert kinds(run, "input_opened", "input_closed").count("input_opened") == 3


def test_an_stf_that_rucio_refuses_harms_no_other_and_is_named(
    registrar: Registrar, allocator: Allocator, rucio: FakeRucio
) -> None:
    run = a_registered_run(registrar)
    bad = run.stf_files.get(sequence=3)
    rucio.refused = {bad.stf_filename}
    with pytest.raises(RetryableError, match=f"Rucio refuses {bad.stf_filename}: DataIdentifierNotFound"):
        allocator.step()
    assert (members(rucio, run, BNL), members(rucio, run, JLAB)) == ([1], [2, 4])

    rucio.refused = set()
    allocator.step()
    assert members(rucio, run, BNL) == [1, 3]


def test_while_rucio_is_away_everything_waits_and_says_why(
    registrar: Registrar, allocator: Allocator, rucio: FakeRucio
) -> None:
    run = a_registered_run(registrar)
    rucio.away = "connection refused"
    with pytest.raises(RetryableError, match="Rucio does not answer: connection refused"):
        allocator.step()
    assert registrations(run) == [("registered", "")] * 4

    rucio.away = ""
    allocator.step()
    assert members(rucio, run, JLAB) == [2, 4]
