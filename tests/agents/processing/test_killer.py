"""The killer: what was taken back has no job any more, and only then is it processed elsewhere."""

from __future__ import annotations

from datetime import timedelta

import pytest

from apps.agents.processing import killer as module
from apps.stf import services
from apps.stf.models import StfProcessing
from tests.factories import an_stf, ended
from tests.processing import BNL, JLAB, states

from .conftest import Site

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def test_a_site_goes_down_half_way_and_comes_back(site: Site) -> None:
    run = site.run(8)
    site.turn()
    running, *_ = site.panda.open_jobs(2)
    site.panda.set_job(running.panda_id, "running")
    site.turn()
    services.site_down(JLAB, by="ann", reason="flood")
    site.turn(4)

    assert [name for _, name, _ in states(run)].count(BNL) == 7
    assert [job.panda_id for job in site.panda.open_jobs(2)] == [running.panda_id]
    an_stf(run, 10)
    site.work()
    site.turn(3)
    ended(run, count=10)
    services.site_up(JLAB, by="ann", reason="dry")
    an_stf(run, 12)
    an_stf(run, 9)
    site.turn(3)
    site.work()
    site.turn(3)

    assert {state for _, _, state in states(run)} == {"done"}
    assert states(run)[-1] == (12, JLAB, "done")
    finished = [job.name for job in site.panda.jobs_by_id.values() if job.status == "finished"]
    assert len(finished) == len(set(finished)) == 11


def test_an_stf_stays_until_panda_has_let_go_of_it(site: Site) -> None:
    run = site.run(2)
    site.turn()
    services.site_down(JLAB, by="ann", reason="flood")
    steps = [step for step in site.steps() if step != site.panda.tick]
    for _ in range(3):
        for step in steps:
            step()
    assert states(run)[1] == (2, JLAB, "waiting")
    assert not StfProcessing.objects.filter(cleared_at__isnull=False).exists()

    site.turn(2)
    assert states(run)[1][1] == BNL


def test_an_stf_that_panda_has_never_seen_goes_after_a_moment(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLE", timedelta(hours=1))
    run = site.run(2)
    site.turn()
    an_stf(run, 4)
    site.registrar.step()
    site.allocator.step()
    services.site_down(JLAB, by="ann", reason="flood")
    for _ in range(2):
        site.allocator.step()
        site.killer.step()
    assert states(run)[2][1] == JLAB
    monkeypatch.setattr(module, "SETTLE", timedelta(0))
    site.killer.step()
    site.allocator.step()
    assert states(run)[2][1] == BNL


def test_what_was_never_submitted_goes_at_once(site: Site) -> None:
    run = site.run(2)
    site.registrar.step()
    site.allocator.step()
    services.site_down(JLAB, by="ann", reason="flood")
    site.allocator.step()
    site.killer.step()
    site.allocator.step()
    assert [name for _, name, _ in states(run)] == [BNL, BNL]


@pytest.mark.parametrize("cancel", [False, True])
def test_a_brake_truly_stops_and_when_released_everything_goes_on(site: Site, *, cancel: bool) -> None:
    run = site.run(4)
    site.turn()
    first, *_ = site.panda.open_jobs()
    site.panda.set_job(first.panda_id, "running")
    site.turn()
    services.brake_on(None, by="ann", reason="wrong payload", cancel=cancel)
    an_stf(run, 5)
    site.turn(3)
    assert len(site.panda.open_jobs()) == (0 if cancel else 1)
    site.work("failed", "it was the wrong payload")
    made = len(site.panda.jobs_by_id)
    site.turn(5)
    assert (len(site.panda.jobs_by_id), site.panda.open_jobs()) == (made, [])

    services.brake_off(None, by="ann", reason="mended")
    site.turn(2)
    site.work()
    site.turn(2)
    assert {state for _, _, state in states(run)} == {"done"}
