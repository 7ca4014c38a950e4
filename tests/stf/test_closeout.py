"""The proof at the end of a run: complete, or exactly what is missing and why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.runs.errors import DomainError
from apps.runs.models import Run
from apps.stf import selectors, services
from apps.stf.choices import ReplicaState
from apps.stf.models import ProcessingJob, Replica, StfFile, StfProcessing
from apps.stf.services import TaskReport
from tests.factories import (
    a_running_run,
    an_stf,
    change_replicas,
    ended,
    generated,
    kinds,
    registered,
    verified,
)
from tests.processing import a_processed_run, attach, job, process, processing_of, submit, task_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]

PATIENT = {"hole_wait_seconds": 3600}


def lifecycle(run: Run) -> str:
    run.refresh_from_db()
    return run.lifecycle


def missing(run: Run) -> list[dict[str, Any]]:
    return list(services.evaluate(run).missing)


def fail(run: Run, stf: StfFile, reason: str) -> None:
    services.mark_registration_failed(run, {stf.pk: reason})


def unregistered(run: Run) -> None:
    an_stf(run, 2)


def refused(run: Run) -> None:
    fail(run, an_stf(run, 2), "the file is truncated")


def gone(run: Run) -> None:
    [stf] = registered(an_stf(run, 2))
    Path(stf.file_url).unlink()


def half_verified(run: Run) -> None:
    [stf] = verified(an_stf(run, 2), at=["E1_BNL"])
    change_replicas([stf], ReplicaState.FAILED, at=["E1_JLAB"], reason="no space left")


def under_way(run: Run) -> None:
    [stf] = registered(an_stf(run, 2))
    change_replicas([stf], ReplicaState.TRANSFERRING, at=["E1_BNL"])


@pytest.mark.parametrize(
    ("second", "kind", "reason"),
    [
        (lambda run: None, "not sent", "the DAQ counted it, no stf_gen has arrived"),
        (unregistered, "not registered", "waits for registration in Rucio"),
        (refused, "not registered", "the file is truncated"),
        (gone, "registered but gone", "swf.100010.000002.stf has left the exit buffer before its copies"),
        (half_verified, "not verified", "E1_JLAB: no space left"),
        (under_way, "not verified", "E1_BNL: transferring; E1_JLAB: requested"),
    ],
)
def test_what_is_missing_is_listed_with_its_kind_and_reason(
    second: Callable[[Run], object], kind: str, reason: str
) -> None:
    run = a_running_run()
    verified(an_stf(run), an_stf(run, 3))
    second(run)
    [found] = missing(ended(run, count=3))

    assert (found["sequence"], found["kind"]) == (2, kind)
    assert reason in found["reason"]
    assert lifecycle(run) == "incomplete"


def test_an_stf_beyond_the_count_is_unexpected_though_it_is_safe() -> None:
    run = a_running_run()
    verified(an_stf(run), an_stf(run, 2))
    [found] = missing(ended(run, count=1))

    assert (found["sequence"], found["kind"]) == (2, "unexpected")
    assert found["reason"] == "end_run announced 1 STFs"


def test_a_complete_run_is_closed_at_once_with_its_counts() -> None:
    run = a_running_run(**PATIENT)
    verified(an_stf(run), an_stf(run, 2))
    proof = services.evaluate(ended(run, count=2))

    assert proof.complete
    assert proof.as_message() == {
        "expected": 2,
        "registered": 2,
        "verified": {"E1_BNL": 2, "E1_JLAB": 2},
        "processed": {},
        "outputs": 0,
        "missing": [],
    }
    assert lifecycle(run) == "closed"
    assert run.journal.get(kind="run_closed").payload == {"state": "closed", **proof.as_message()}


def test_a_run_without_stfs_is_complete() -> None:
    run = ended(a_running_run(**PATIENT), count=0)
    assert services.evaluate(run).complete
    assert lifecycle(run) == "closed"


def test_released_stfs_are_still_safe() -> None:
    run = a_running_run()
    [stf] = verified(an_stf(run))
    Path(stf.file_url).unlink()
    services.mark_released(run, [stf.pk])

    assert services.evaluate(ended(run, count=1)).complete


def test_an_aborted_run_that_is_complete_settles_as_aborted() -> None:
    run = a_running_run()
    verified(an_stf(run))
    services.evaluate(ended(run, count=1, reason="magnet trip", aborted=True))

    assert lifecycle(run) == "aborted"


def test_a_run_that_takes_data_has_no_proof() -> None:
    with pytest.raises(DomainError, match="is running: the number of its STFs is not known yet"):
        services.evaluate(a_running_run())


def test_holes_are_waited_for_before_a_run_is_called_incomplete() -> None:
    run = ended(a_running_run(**PATIENT), count=1)
    assert not services.evaluate(run).complete
    assert lifecycle(run) == "ended"

    Run.objects.filter(pk=run.pk).update(
        requested_at=timezone.now() - timedelta(hours=3), end_time=timezone.now() - timedelta(hours=2)
    )
    run.refresh_from_db()
    services.evaluate(run)
    assert lifecycle(run) == "incomplete"


def test_any_progress_starts_the_patience_anew() -> None:
    run = a_running_run(**PATIENT)
    long_ago = timezone.now() - timedelta(hours=2)
    an_stf(run, generated_at=long_ago)
    ended(run, count=2)
    Run.objects.filter(pk=run.pk).update(requested_at=long_ago, end_time=long_ago)
    registered(*run.stf_files.all())
    run.refresh_from_db()
    services.evaluate(run)

    assert lifecycle(run) == "ended"


def test_an_incomplete_run_is_closed_by_what_arrives_late() -> None:
    run = ended(a_running_run(), count=2)
    verified(an_stf(run))
    services.evaluate(run)
    assert lifecycle(run) == "incomplete"

    verified(an_stf(run, 2))
    services.evaluate(run)
    assert lifecycle(run) == "closed"
    assert kinds(run, "run_closed") == ["run_closed", "run_closed"]


def test_asking_again_says_nothing_new() -> None:
    run = ended(a_running_run(), count=1)
    for _ in range(3):
        services.evaluate(run)

    assert kinds(run, "run_closed") == ["run_closed"]


def test_a_forced_close_keeps_the_list_of_what_is_missing() -> None:
    run = ended(a_running_run(), count=2)
    verified(an_stf(run))
    services.force_close(run.run_number, by="ann", reason="the disk burnt")

    run.refresh_from_db()
    said = run.journal.get(kind="run_closed").payload
    assert (run.lifecycle, run.close_forced_by) == ("closed", "ann")
    assert (said["forced_by"], said["forced_reason"]) == ("ann", "the disk burnt")
    assert [item["sequence"] for item in said["missing"]] == [2]
    assert run.proof.missing == said["missing"]
    assert not run.proof.complete


def test_a_run_that_takes_data_is_not_closed_by_force() -> None:
    run = a_running_run()

    with pytest.raises(DomainError, match="is running: stop it first"):
        services.force_close(run.run_number, by="ann", reason="I want to go home")


def test_a_corrected_count_is_proved_anew() -> None:
    run = ended(a_running_run(), count=2)
    verified(an_stf(run), an_stf(run, 2))
    services.evaluate(run)
    assert lifecycle(run) == "closed"

    services.evaluate(ended(run, count=3))
    assert lifecycle(run) == "incomplete"
    services.evaluate(ended(run, count=2))
    assert lifecycle(run) == "closed"


def test_overlapping_runs_are_proved_apart() -> None:
    run, other = a_running_run(), a_running_run()
    verified(an_stf(run))
    an_stf(other)

    assert services.evaluate(ended(run, count=1)).complete
    assert not services.evaluate(ended(other, count=1)).complete


def test_a_failed_stf_that_is_sent_again_completes_the_run() -> None:
    run = ended(a_running_run(), count=1)
    fail(run, an_stf(run, content=b"half"), "the file is truncated")
    services.evaluate(run)
    again = services.record_generated(run.run_number, generated(run, content=b"whole"))
    verified(again)

    assert services.evaluate(run).complete


def test_a_run_is_closed_when_all_is_processed_and_every_output_registered() -> None:
    run = a_processed_run(2)
    attach()
    submit()
    ended(run, count=2)
    assert not services.evaluate(run).complete
    process(run, [1], registered=False)
    process(run, [2], site="E1_JLAB", registered=False)
    assert [item["reason"] for item in missing(run)] == [
        f"E1_BNL: output {run.run_number}.1.E1_BNL.root: not seen in Rucio yet",
        f"E1_JLAB: output {run.run_number}.2.E1_JLAB.root: not seen in Rucio yet",
    ]

    outputs = [output.pk for output in selectors.outputs_to_verify(limit=9)]
    services.mark_outputs(run, registered=outputs, missing={})
    proof = services.evaluate(run)
    assert (proof.complete, proof.processed, proof.outputs) == (True, {"E1_BNL": 1, "E1_JLAB": 1}, 2)
    assert lifecycle(run) == "closed"
    said = run.journal.filter(kind="run_closed").order_by("-id")[0].payload
    assert (said["processed"], said["outputs"]) == (proof.processed, 2)


def wait(run: Run) -> None:
    """Nothing has happened to it."""


def brake(run: Run) -> None:
    services.brake_on(run.run_number, by="ann", reason="look")


def down(run: Run) -> None:
    services.site_down("E1_BNL", by="ann", reason="flood")


def broken(run: Run) -> None:
    services.apply_task_reports([TaskReport(task_of(run).jedi_task_id or 0, "broken", "no such queue")])


def given_up(run: Run) -> None:
    job(run, 1, status="failed", reason="exe 65: no hits")
    services.give_up(task_of(run), {processing_of(run).pk: "given up: exe 65: no hits"})


def tried_again(run: Run) -> None:
    job(run, 1, status="failed", reason="exe 65: no hits")
    job(run, 1)


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (wait, "E1_BNL: waits for a job of PanDA's"),
        (brake, "E1_BNL: brake by ann: look"),
        (down, "E1_BNL: E1_BNL is down: flood"),
        (broken, "E1_BNL: task user.swf.swf.100010.E1_BNL.processed/: no such queue"),
        (given_up, "E1_BNL: given up: exe 65: no hits"),
        (tried_again, "E1_BNL: its job waits for a slot; before that: exe 65: no hits"),
    ],
)
def test_what_is_not_processed_is_listed_with_its_reason(trouble: Callable[[Run], None], reason: str) -> None:
    run = a_processed_run(2)
    attach()
    submit()
    process(run, [2], site="E1_JLAB")
    trouble(run)
    [found] = missing(ended(run, count=2))

    assert (found["sequence"], found["kind"]) == (1, "not processed")
    assert found["reason"].replace(str(run.run_number), "100010") == reason
    assert lifecycle(run) == "incomplete"


def test_an_stf_is_listed_once_though_it_is_neither_safe_nor_processed() -> None:
    run = a_running_run(policy="both")
    registered(an_stf(run))

    assert [item["kind"] for item in missing(ended(run, count=1))] == ["not verified"]


def test_progress_of_processing_starts_the_patience_anew() -> None:
    run = a_processed_run(1, **PATIENT)
    attach()
    ended(run, count=1)
    long_ago = timezone.now() - timedelta(hours=2)
    Run.objects.filter(pk=run.pk).update(requested_at=long_ago, end_time=long_ago)
    run.stf_files.update(generated_at=long_ago, registered_at=long_ago)
    Replica.objects.update(verified_at=long_ago)
    StfProcessing.objects.update(changed_at=long_ago)
    job(run, 1, status="running")
    run.refresh_from_db()
    services.evaluate(run)
    assert lifecycle(run) == "ended"

    StfProcessing.objects.update(changed_at=long_ago)
    ProcessingJob.objects.update(changed_at=long_ago)
    services.evaluate(run)
    assert lifecycle(run) == "incomplete"


def test_proving_takes_as_many_queries_for_any_number_of_stfs(django_assert_max_num_queries: Any) -> None:
    run = a_processed_run(12, **PATIENT)
    attach()
    ended(run, count=12)
    with django_assert_max_num_queries(24):
        services.evaluate(run)
