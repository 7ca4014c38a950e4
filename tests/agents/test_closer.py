"""The closer: a verdict for every run that has ended, and the end of its dataset."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.agents.data.closer import Closer
from apps.agents.data.follower import Follower
from apps.agents.data.registrar import Registrar
from apps.runs.errors import RetryableError
from tests.agents.catalogue import lifecycle, name_of, settle
from tests.factories import a_running_run, an_stf, ended, kinds
from tests.fakes.rucio import FakeRucio

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def test_a_complete_run_is_closed_and_its_dataset_too(
    registrar: Registrar, follower: Follower, closer: Closer, rucio: FakeRucio
) -> None:
    run = a_running_run()
    an_stf(run)
    ended(run, count=1)
    settle(registrar, rucio, follower, closer)

    assert lifecycle(run) == "closed"
    assert not rucio.is_open(name_of(run))
    assert kinds(run, "dataset_closed", "run_closed") == ["run_closed", "dataset_closed"]


def test_a_run_that_waits_is_asked_again_but_not_all_the_time(closer: Closer) -> None:
    run = ended(a_running_run(), count=1)
    closer.step()
    asked = run.proof.evaluated_at
    closer.step()
    run.proof.refresh_from_db()
    assert run.proof.evaluated_at == asked
    assert lifecycle(run) == "incomplete"

    run.proof.evaluated_at = timezone.now() - timedelta(seconds=6)
    run.proof.save()
    closer.step()
    run.proof.refresh_from_db()
    assert run.proof.evaluated_at > asked


def test_a_rucio_that_is_away_keeps_no_run_from_its_verdict(
    registrar: Registrar, follower: Follower, closer: Closer, rucio: FakeRucio
) -> None:
    run = a_running_run()
    an_stf(run)
    registrar.step()
    rucio.make_copies()
    follower.follow()
    ended(run, count=1)
    rucio.away = "connection refused"
    with pytest.raises(RetryableError):
        closer.step()
    assert lifecycle(run) == "closed"

    rucio.away = ""
    closer.step()
    assert not rucio.is_open(name_of(run))


def test_overlapping_runs_do_not_touch_each_other(
    registrar: Registrar, follower: Follower, closer: Closer, rucio: FakeRucio
) -> None:
    run, other = a_running_run(), a_running_run(rses=["E1_BNL"])
    for sequence in (1, 2):
        an_stf(run, sequence)
        an_stf(other, sequence)
    rucio.failing = {(stf.stf_filename, "E1_JLAB"): "no space left" for stf in run.stf_files.all()}
    for each in (run, other):
        ended(each, count=2)
    settle(registrar, rucio, follower, closer)

    assert lifecycle(other) == "closed"
    assert lifecycle(run) == "incomplete"
    assert {item["kind"] for item in run.proof.missing} == {"not verified"}
    assert rucio.names_in(name_of(run)).isdisjoint(rucio.names_in(name_of(other)))
