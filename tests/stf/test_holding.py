"""Brakes and sites that are down: nothing goes where it is held, and an STF changes its site only when it is free."""

from __future__ import annotations

import pytest

from apps.runs.errors import DomainError, NotFound
from apps.runs.models import JournalEntry, Run
from apps.stf import selectors, services
from apps.stf.models import Brake, ProcessingSite
from tests.factories import an_stf, kinds, registered
from tests.processing import (
    BNL,
    JLAB,
    a_processed_run,
    attach,
    clear,
    detach,
    job,
    process,
    processing_of,
    states,
    submit,
    task_of,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def attached(run: Run) -> set[int]:
    rows = run.processings.filter(attached_at__isnull=False)
    return set(rows.values_list("stf__sequence", flat=True))


def to_kill() -> list[int]:
    return [one.panda_id for one in selectors.jobs_to_kill()]


def test_a_brake_takes_back_everything_but_lets_running_jobs_end() -> None:
    run = a_processed_run(6)
    attach()
    submit()
    queued = job(run, 1)
    job(run, 3, status="running")
    process(run, [5])
    services.brake_on(run.run_number, by="ann", reason="wrong payload")
    detach()

    assert attached(run) == {5}
    assert to_kill() == [queued]
    assert selectors.to_attach(limit=9) == []
    assert not selectors.is_allowed(processing_of(run))
    services.note_kill_asked([queued])
    assert to_kill() == []


def test_a_brake_that_cancels_kills_running_jobs_too() -> None:
    run = a_processed_run()
    attach()
    running = job(run, 1, status="running")
    services.brake_on(run.run_number, by="ann", reason="wrong payload")
    detach()
    assert to_kill() == []
    services.brake_on(run.run_number, by="ann", reason="wrong payload", cancel=True)
    detach()

    assert attached(run) == set()
    assert to_kill() == [running]
    assert kinds(run, "brake_on") == ["brake_on", "brake_on"]


def test_while_braked_no_task_is_submitted_and_no_stf_attached_until_it_is_released() -> None:
    run, other = a_processed_run(), a_processed_run()
    attach()
    services.brake_on(run.run_number, by="ann", reason="look")
    registered(an_stf(run, 3))
    assert {task.run_id for task in selectors.tasks_to_submit()} == {other.pk}
    assert selectors.to_attach(limit=9) == []
    detach()
    services.brake_off(run.run_number, by="ann", reason="fine")
    attach()

    assert attached(run) == {1, 2, 3}
    assert len(selectors.tasks_to_submit()) == 4


def test_the_brake_of_all_runs_holds_each_and_stays_when_that_of_a_run_goes() -> None:
    run = a_processed_run()
    services.brake_on(None, by="ann", reason="power cut")
    services.brake_on(run.run_number, by="bob", reason="look")
    services.brake_off(run.run_number, by="bob", reason="fine")
    assert selectors.to_attach(limit=9) == []
    assert [brake.run for brake in selectors.brakes_on()] == [None]
    assert {one.reason for one in selectors.unprocessed(run, last=9)} == {"brake by ann: power cut"}

    services.brake_off(None, by="ann", reason="light")
    assert len(selectors.to_attach(limit=9)) == 2
    assert Brake.objects.count() == 2


def test_a_site_that_is_down_gives_its_waiting_stfs_to_the_other_once_they_are_free() -> None:
    run = a_processed_run(4)
    attach()
    submit()
    panda_id = job(run, 2, site=JLAB)
    services.site_down(JLAB, by="ann", reason="flood")
    assert services.move_waiting() == 0
    detach()
    assert services.move_waiting() == 0  # PanDA may not have seen it yet
    clear()
    assert services.move_waiting() == 1  # that without a job

    job(run, 2, site=JLAB, panda_id=panda_id, status="cancelled")
    assert services.move_waiting() == 1
    attach()
    assert {(site, state) for _, site, state in states(run)} == {(BNL, "waiting")}
    assert attached(run) == {1, 2, 3, 4}
    moved = run.journal.filter(kind="processing_moved").order_by("id")
    assert [entry.payload["before"] for entry in moved] == [JLAB, JLAB]


def test_an_old_job_that_finishes_after_all_counts_and_its_stf_stays() -> None:
    run = a_processed_run()
    attach()
    running = job(run, 2, site=JLAB, status="running")
    services.site_down(JLAB, by="ann", reason="flood")
    detach()
    clear()
    assert (services.move_waiting(), to_kill()) == (0, [])
    job(run, 2, site=JLAB, panda_id=running, status="finished")

    assert services.move_waiting() == 0
    assert states(run)[1] == (2, JLAB, "done")


def test_when_the_site_is_up_again_those_that_wait_elsewhere_come_back() -> None:
    run = a_processed_run(6)
    attach()
    services.site_down(JLAB, by="ann", reason="flood")
    detach()
    clear()
    services.move_waiting()
    attach()
    submit()
    queued, _ = job(run, 2), job(run, 4, status="running")
    services.site_up(JLAB, by="ann", reason="dry")
    detach()
    assert to_kill() == [queued]
    clear()
    job(run, 2, panda_id=queued, status="cancelled")
    services.move_waiting()
    attach()

    assert [site for _, site, _ in states(run)] == [BNL, JLAB, BNL, BNL, BNL, JLAB]
    assert attached(run) == {1, 2, 3, 4, 5, 6}


def test_with_the_policy_both_they_wait_for_their_site() -> None:
    run = a_processed_run(1, policy="both")
    attach()
    services.site_down(JLAB, by="ann", reason="flood")
    detach()
    clear()
    assert services.move_waiting() == 0
    assert [one.reason for one in selectors.unprocessed(run, last=9)] == [
        "waits for a job of PanDA's",
        "E1_JLAB is down: flood",
    ]

    services.site_up(JLAB, by="ann", reason="dry")
    attach()
    assert attached(run) == {1}
    assert run.processings.filter(attached_at__isnull=False).count() == 2


def test_with_all_sites_down_they_stay_where_they_are() -> None:
    run = a_processed_run()
    for site in (BNL, JLAB):
        services.site_down(site, by="ann", reason="flood")
    assert services.move_waiting() == 0
    assert selectors.to_attach(limit=9) == []
    assert [site for _, site, _ in states(run)] == [BNL, JLAB]


def test_an_stf_that_may_be_in_a_dataset_does_not_go_elsewhere() -> None:
    run = a_processed_run()
    services.begin_attach([processing_of(run, 2).pk])  # killed before Rucio's answer was noted
    services.site_down(JLAB, by="ann", reason="flood")
    assert services.move_waiting() == 0
    assert [one.stf.sequence for one in selectors.to_detach(limit=9)] == [2]


def test_a_task_at_a_site_that_is_down_is_not_submitted() -> None:
    run = a_processed_run()
    attach()
    services.site_down(JLAB, by="ann", reason="flood")
    assert [task.site for task in selectors.tasks_to_submit()] == [BNL]
    assert task_of(run, JLAB).jedi_task_id is None


def test_both_switches_are_told_with_name_and_reason_and_only_when_they_are_turned() -> None:
    a_processed_run()
    for _ in range(2):
        services.site_down(BNL, by="ann", reason="flood")
        services.brake_on(None, by="ann", reason="flood")
    for _ in range(2):
        services.site_up(BNL, by="bob", reason="dry")
        services.brake_off(None, by="bob", reason="dry")

    told = JournalEntry.objects.filter(run=None).order_by("id").values_list("kind", "actor")
    assert [entry for entry in told if entry[0] != "run_workflow"] == [
        ("site_down", "ann"),
        ("brake_on", "ann"),
        ("site_up", "bob"),
        ("brake_off", "bob"),
    ]
    assert ProcessingSite.objects.get(name=BNL).down_reason == ""


def test_name_and_reason_are_needed_and_unknown_things_are_named() -> None:
    run = a_processed_run()
    with pytest.raises(DomainError, match="marking E1_BNL down needs a name"):
        services.site_down(BNL, by="ann", reason=" ")
    with pytest.raises(DomainError, match="a brake needs a name"):
        services.brake_on(None, by="", reason="x")
    with pytest.raises(NotFound, match="there is no processing site 'E1_MARS'; there are: E1_BNL, E1_JLAB"):
        services.site_down("E1_MARS", by="ann", reason="x")
    with pytest.raises(NotFound, match=f"there is no brake on run {run.run_number}"):
        services.brake_off(run.run_number, by="ann", reason="x")
    with pytest.raises(NotFound, match="there is no run 7"):
        services.brake_on(7, by="ann", reason="x")
