"""What came of registering STFs in Rucio. Compare-and-set on `generated`: a second writer changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db import transaction
from django.utils import timezone

from apps.runs import journal
from apps.runs.errors import DomainError
from apps.runs.models import Run

from ..choices import Registration, ReplicaState
from ..messages import stf_fields
from ..models import Dataset, Replica, StfFile, StfProcessing
from .processing import create_processings, input_name
from .tasks import retry_failed_processings


@transaction.atomic
def mark_registered(dataset: Dataset, stf_ids: Sequence[int], *, rses: Sequence[str]) -> int:
    """These STFs are in Rucio and in the run's dataset; copies to `rses` are requested by its rules.

    From now on they wait for being processed where the run's policy says.

    Returns:
        How many were not known to be registered before.
    """
    stfs = list(
        StfFile.objects.select_for_update()
        .filter(pk__in=stf_ids, registration=Registration.GENERATED)
        .order_by("sequence")
    )
    now = timezone.now()
    StfFile.objects.filter(pk__in=[stf.pk for stf in stfs]).update(
        registration=Registration.REGISTERED, registered_at=now, registration_reason=""
    )
    Replica.objects.bulk_create(
        [Replica(stf=stf, rse=rse, requested_at=now) for stf in stfs for rse in rses], ignore_conflicts=True
    )
    places = create_processings(dataset.run, stfs)
    journal.record_many(
        [
            journal.Change(
                "stf_ready",
                run=dataset.run,
                subject=stf.stf_filename,
                payload=stf_fields(stf) | {"dataset": dataset.did} | _places(dataset, places[stf.pk]),
            )
            for stf in stfs
        ]
    )
    return len(stfs)


def _places(dataset: Dataset, places: Sequence[StfProcessing]) -> dict[str, object]:
    """What `stf_ready` says of them; several sites are told with a comma between them."""
    sites = [place.site for place in places]
    return {
        "site": ",".join(sites),
        "input_dataset": ",".join(f"{dataset.scope}:{input_name(dataset.run, site)}" for site in sites),
        "decision_box_enabled": bool(sites),
    }


@transaction.atomic
def mark_registration_failed(run: Run, reasons: Mapping[int, str]) -> None:
    """These STFs (by id) cannot be registered, each for its reason. They stay listed until announced or tried again."""
    changes = []
    for stf in StfFile.objects.select_for_update().filter(
        pk__in=reasons, registration=Registration.GENERATED
    ):
        stf.registration, stf.registration_reason = Registration.FAILED, reasons[stf.pk]
        stf.save(update_fields=["registration", "registration_reason"])
        changes.append(
            journal.Change(
                "stf_failed",
                run=run,
                subject=stf.stf_filename,
                payload=stf_fields(stf) | {"reason": stf.registration_reason},
            )
        )
    journal.record_many(changes)


@transaction.atomic
def retry_registration(stf: StfFile) -> None:
    """Let a failed STF wait for registration again, once its cause is mended.

    Raises:
        DomainError: it has not failed.
    """
    changed = StfFile.objects.filter(pk=stf.pk, registration=Registration.FAILED).update(
        registration=Registration.GENERATED, registration_reason=""
    )
    if not changed:
        raise DomainError(f"{stf} is {stf.registration}: only a failed registration can be tried again")
    journal.record(
        journal.Change(
            "stf_retried", run=stf.run, subject=stf.stf_filename, payload={"sequence": stf.sequence}
        )
    )


@transaction.atomic
def retry_failed(run: Run, *, by: str, reason: str = "") -> int:
    """Let everything of a run that has failed be tried again now: registrations, copies before their pause is over, and
    processing that PanDA has given up.

    Returns:
        How many registrations, copies and processings that were.
    """
    registrations = StfFile.objects.filter(run=run, registration=Registration.FAILED).update(
        registration=Registration.GENERATED, registration_reason=""
    )
    copies = Replica.objects.filter(stf__run=run, state=ReplicaState.FAILED).update(retry_at=timezone.now())
    processings = retry_failed_processings(run, by=by)
    tried = {"registrations": registrations, "copies": copies, "processings": processings}
    payload = tried | ({"reason": reason} if reason else {})
    with journal.on_behalf_of(by):
        journal.record(journal.Change("run_retried", run=run, payload=payload))
    return sum(tried.values())
