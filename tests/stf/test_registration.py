"""What came of registration in Rucio is written once, whoever says it and how often."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from apps.runs.errors import DomainError
from apps.stf import services
from apps.stf.models import Dataset, Replica, StfFile
from tests.factories import SITES, a_running_run, an_stf, ended, kinds, registered
from tests.parallel import in_parallel

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def test_a_registered_stf_has_a_requested_copy_for_every_site_and_is_said_to_be_ready() -> None:
    run = a_running_run()
    [stf] = registered(an_stf(run))

    assert stf.registration == "registered"
    assert {(replica.rse, replica.state) for replica in stf.replicas.all()} == {
        (rse, "requested") for rse in SITES
    }
    entry = run.journal.get(kind="stf_ready")
    assert entry.subject == stf.stf_filename
    assert entry.payload["dataset"] == f"group.daq:swf.{run.run_number}.run"


def test_registering_again_changes_nothing() -> None:
    run = a_running_run()
    stf = an_stf(run)
    registered(stf)
    [again] = registered(stf)

    assert again.replicas.count() == 2
    assert kinds(run, "stf_ready") == ["stf_ready"]


def test_two_writers_register_an_stf_once(transactional_db: None) -> None:
    run = a_running_run()
    those = [an_stf(run, sequence) for sequence in (1, 2, 3)]
    registered(those[0])
    dataset = run.dataset
    ids = [stf.pk for stf in those]
    counts = in_parallel(*[lambda: services.mark_registered(dataset, ids, rses=SITES)] * 3)

    assert sorted(counts) == [0, 0, 2]
    assert len(kinds(run, "stf_ready")) == 3
    assert Replica.objects.count() == 6


def test_a_failure_is_written_with_its_reason_and_can_be_tried_again() -> None:
    run = a_running_run()
    stf = an_stf(run)
    services.mark_registration_failed(run, {stf.pk: "the file is missing"})
    stf.refresh_from_db()

    assert (stf.registration, stf.registration_reason) == ("failed", "the file is missing")
    assert run.journal.get(kind="stf_failed").payload["reason"] == "the file is missing"
    services.retry_registration(stf)
    stf.refresh_from_db()
    assert (stf.registration, stf.registration_reason) == ("generated", "")
    assert kinds(run, "stf_failed", "stf_retried") == ["stf_failed", "stf_retried"]


def test_a_registered_one_does_not_fail_any_more() -> None:
    run = a_running_run()
    [stf] = registered(an_stf(run))
    services.mark_registration_failed(run, {stf.pk: "too late"})

    stf.refresh_from_db()
    assert stf.registration == "registered"
    assert kinds(run, "stf_failed") == []


def test_only_a_failed_registration_is_tried_again() -> None:
    stf = an_stf(a_running_run())

    with pytest.raises(DomainError, match="is generated: only a failed registration can be tried again"):
        services.retry_registration(stf)


def test_a_dataset_is_opened_once_closed_once_and_opened_again_for_a_late_stf() -> None:
    run = ended(a_running_run(), count=1)
    registered(an_stf(run))
    for _ in range(2):
        services.close_dataset(Dataset.objects.get(run=run))
    registered(an_stf(run, 2))

    assert Dataset.objects.get(run=run).is_open
    assert kinds(run, "dataset_opened", "dataset_closed") == [
        "dataset_opened",
        "dataset_closed",
        "dataset_opened",
    ]


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"registration": "lost"}, "stf_registration_known"),
        ({"registration": "registered"}, "stf_registered_has_time"),
        ({"registration": "failed"}, "stf_failed_has_reason"),
    ],
)
def test_postgresql_refuses_what_no_service_would_write(fields: dict[str, str], constraint: str) -> None:
    stf = an_stf(a_running_run())

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        StfFile.objects.filter(pk=stf.pk).update(**fields)
