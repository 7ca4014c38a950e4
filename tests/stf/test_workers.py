"""Workers: what their heartbeats say of them and of the slices in their hands, and what becomes of a silent one."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest

from apps.runs.models import JournalEntry
from apps.stf import selectors, services
from apps.stf.choices import WorkerStatus
from apps.stf.models import Worker
from apps.stf.services import Beat
from tests.slices import a_sliced_run, counted, done, expire, heard, silence, slice_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def said_of_workers() -> list[str]:
    entries = JournalEntry.objects.filter(kind__startswith="worker_").order_by("id")
    return list(entries.values_list("kind", flat=True))


def up() -> set[str]:
    return set(selectors.workers_up().values_list("worker_id", flat=True))


def test_a_worker_is_known_by_its_first_heartbeat_and_described_by_the_last() -> None:
    heard()
    heard(status="busy", slices_completed=3, slices_failed=1, panda_id=7)

    worker = Worker.objects.get()
    assert (worker.status, worker.slices_completed, worker.slices_failed) == ("busy", 3, 1)
    assert (worker.location, worker.pid, worker.panda_id) == ("here", 1, 7)
    assert said_of_workers() == ["worker_started"]
    assert up() == {"worker-1"}


def test_several_heartbeats_at_once_are_as_one_after_the_other() -> None:
    beats = [
        Beat("b", WorkerStatus.READY, pid=1),
        Beat("a", WorkerStatus.READY, pid=2),
        Beat("b", WorkerStatus.ENDED, pid=1, reason="idle for 60 s"),
    ]
    services.record_heartbeats(beats)

    assert up() == {"a"}
    assert said_of_workers() == ["worker_started", "worker_started", "worker_ended"]
    assert Worker.objects.get(worker_id="b").end_reason == "idle for 60 s"


def test_one_that_has_ended_stays_so_whatever_arrives_late() -> None:
    for status in ("ready", "ended", "busy", "ended"):
        heard(status=status)

    assert Worker.objects.get().status == "ended"
    assert said_of_workers() == ["worker_started", "worker_ended"]


def test_one_that_is_about_to_leave_is_given_nothing_more() -> None:
    heard(status="stopping")
    assert up() == set()


def test_a_heartbeat_renews_the_lease_of_the_slice_that_it_names() -> None:
    a_sliced_run()
    one, other = services.claim_slices(1)
    expire(one, other)
    heard(status="busy", req_id=one.req_id, attempt=1)
    services.return_expired()

    assert (slice_of(one.req_id).status, slice_of(other.req_id).status) == ("claimed", "queued")
    assert slice_of(one.req_id).assigned_worker == "worker-1"
    assert Worker.objects.get().current_slice == one


def test_a_heartbeat_about_an_earlier_try_or_an_unknown_slice_renews_nothing() -> None:
    a_sliced_run()
    claimed = services.claim_slices(1)
    expire(*claimed)
    services.return_expired()
    [one, _] = services.claim_slices(1)
    until = slice_of(one.req_id).lease_until
    heard(status="busy", req_id=one.req_id, attempt=1)
    heard(status="busy", req_id=uuid4(), attempt=1)

    assert slice_of(one.req_id).lease_until == until
    assert slice_of(one.req_id).assigned_worker == ""


def test_a_heartbeat_that_comes_after_the_result_changes_no_slice() -> None:
    run = a_sliced_run()
    [one, _] = services.claim_slices(1)
    done(one)
    heard(status="busy", req_id=one.req_id, attempt=1)

    assert counted(run) == {"queued": 4, "claimed": 1, "done": 1}
    assert slice_of(one.req_id).lease_until is None


def test_a_silent_one_is_lost_and_its_slices_return_at_once() -> None:
    run = a_sliced_run()
    one, other = services.claim_slices(1)
    heard(status="busy", req_id=one.req_id, attempt=1)
    heard("worker-2", status="busy", req_id=other.req_id, attempt=1)
    silence()
    assert up() == {"worker-2"}
    assert services.mark_lost() == ["worker-1"]
    assert services.mark_lost() == []

    assert counted(run) == {"queued": 5, "claimed": 1}
    returned = slice_of(one.req_id)
    entry = JournalEntry.objects.get(kind="worker_lost")
    reason = entry.payload["reason"]
    assert entry.payload == {"reason": reason, "slices_returned": 1}
    assert (returned.retries, returned.reason) == (1, f"worker worker-1 was lost: {reason}")
    # To the second: it may have become the next one by now.
    silent = re.fullmatch(r"not heard of for (\d+) s", reason)
    assert silent
    assert int(silent[1]) >= 6


def test_a_lost_one_that_is_heard_of_again_is_back() -> None:
    heard()
    silence()
    services.mark_lost()
    heard()

    assert up() == {"worker-1"}
    assert said_of_workers() == ["worker_started", "worker_lost", "worker_returned"]


def test_one_that_does_not_say_its_process_may_be_silent_for_longer() -> None:
    heard(pid=None)
    silence(seconds=60)
    assert services.mark_lost() == []
    silence(seconds=100)
    assert services.mark_lost() == ["worker-1"]
