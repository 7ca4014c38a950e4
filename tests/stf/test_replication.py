"""Copies at the sites: verified is for ever, and only when all are verified may the DAQ delete."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.stf import selectors, services
from apps.stf.choices import ReplicaState
from apps.stf.models import Replica, StfFile
from apps.stf.services import ReplicaChange
from tests.factories import SITES, a_running_run, an_stf, change_replicas, kinds, registered, verified
from tests.parallel import in_parallel

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]

BNL, JLAB = SITES
MISMATCH = "adler32 is 00000001, should be 61290735"


def buffer_of(stf: StfFile) -> str:
    return str(StfFile.objects.get(pk=stf.pk).buffer)


def copy_of(stf: StfFile, rse: str = BNL) -> Replica:
    return Replica.objects.get(stf=stf, rse=rse)


def test_an_stf_becomes_releasable_with_its_last_verified_copy_and_not_before() -> None:
    run = a_running_run()
    [stf] = verified(an_stf(run), at=[BNL])
    assert (stf.buffer, stf.releasable_at) == ("held", None)

    [stf] = verified(stf, at=[JLAB])
    assert stf.buffer == "releasable"
    assert stf.releasable_at is not None
    assert kinds(run)[-3:] == ["stf_replicated", "stf_replicated", "stf_releasable"]


@pytest.mark.parametrize("state", [ReplicaState.REQUESTED, ReplicaState.TRANSFERRING, ReplicaState.FAILED])
def test_an_stf_with_a_copy_in_any_other_state_is_held(state: ReplicaState) -> None:
    [stf] = registered(an_stf(a_running_run()))
    change_replicas([stf], state, at=[JLAB], reason=MISMATCH)
    change_replicas([stf], ReplicaState.VERIFIED, at=[BNL])

    assert buffer_of(stf) == "held"


def test_of_many_only_the_safe_ones_become_releasable() -> None:
    run = a_running_run()
    first, second, third = registered(*(an_stf(run, sequence) for sequence in (1, 2, 3)))
    change_replicas([first, second], ReplicaState.VERIFIED, at=[BNL])
    change_replicas([second, third], ReplicaState.VERIFIED, at=[JLAB])

    assert [buffer_of(stf) for stf in (first, second, third)] == ["held", "releasable", "held"]
    assert run.journal.get(kind="stf_releasable").subject == second.stf_filename


@pytest.mark.parametrize("state", list(ReplicaState))
def test_a_verified_copy_never_changes(state: ReplicaState) -> None:
    run = a_running_run()
    [stf] = verified(an_stf(run))
    when, before = copy_of(stf).verified_at, kinds(run)
    change_replicas([stf], state, reason="too late")

    assert (copy_of(stf).state, copy_of(stf).verified_at, copy_of(stf).reason) == ("verified", when, "")
    assert kinds(run) == before
    assert buffer_of(stf) == "releasable"


def test_two_writers_that_verify_a_copy_each_release_the_stf(transactional_db: None) -> None:
    run = a_running_run()
    those = registered(*(an_stf(run, sequence) for sequence in range(1, 21)))

    def verify(rse: str) -> None:
        for stf in those:
            change_replicas([stf], ReplicaState.VERIFIED, at=[rse])

    in_parallel(lambda: verify(BNL), lambda: verify(JLAB))

    assert {buffer_of(stf) for stf in those} == {"releasable"}
    assert len(kinds(run, "stf_releasable")) == 20


def test_the_pause_after_a_failure_grows_up_to_ten_minutes() -> None:
    [stf] = registered(an_stf(a_running_run()))
    for pause in (10, 20, 40, 80, 160, 320, 600, 600, 600):
        before = timezone.now()
        change_replicas([stf], ReplicaState.FAILED, at=[BNL], reason=MISMATCH)
        retry_at = copy_of(stf).retry_at
        assert retry_at is not None
        assert before <= retry_at - timedelta(seconds=pause) <= timezone.now()


def test_a_copy_rests_until_its_pause_is_over() -> None:
    [stf] = registered(an_stf(a_running_run()))
    change_replicas([stf], ReplicaState.FAILED, at=[BNL], reason=MISMATCH)

    def looked_after(after: timedelta) -> list[str]:
        return [r.rse for r in selectors.unverified_replicas(now=timezone.now() + after, limit=9)]

    assert looked_after(timedelta()) == [JLAB]
    assert looked_after(timedelta(seconds=11)) == [BNL, JLAB]


def test_a_failure_is_said_with_its_reason_and_the_same_again_is_no_news() -> None:
    run = a_running_run()
    [stf] = registered(an_stf(run))
    for reason in (MISMATCH, MISMATCH, "disk full"):
        change_replicas([stf], ReplicaState.FAILED, at=[BNL], reason=reason)
        change_replicas([stf], ReplicaState.REQUESTED, at=[BNL])

    said = run.journal.filter(kind="stf_replica_failed").order_by("id")
    assert [(entry.payload["rse"], entry.payload["reason"]) for entry in said] == [
        (BNL, MISMATCH),
        (BNL, "disk full"),
    ]


def test_a_failed_copy_that_is_verified_at_last_forgets_its_reason() -> None:
    [stf] = registered(an_stf(a_running_run()))
    change_replicas([stf], ReplicaState.FAILED, reason=MISMATCH)
    change_replicas([stf], ReplicaState.VERIFIED)

    copy = copy_of(stf)
    assert (copy.state, copy.reason, copy.retry_at) == ("verified", "", None)
    assert buffer_of(stf) == "releasable"


def test_a_change_of_a_copy_that_is_gone_is_no_change() -> None:
    services.apply_replica_changes(a_running_run(), [ReplicaChange(4711, ReplicaState.VERIFIED)])


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"state": "lost"}, "replica_state_known"),
        ({"state": "verified"}, "replica_verified_has_time"),
        ({"verified_at": timezone.now()}, "replica_verified_has_time"),
        ({"state": "failed"}, "replica_failed_has_reason"),
    ],
)
def test_postgresql_refuses_what_no_service_would_write(fields: dict[str, Any], constraint: str) -> None:
    [stf] = registered(an_stf(a_running_run()))

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Replica.objects.filter(stf=stf).update(**fields)
