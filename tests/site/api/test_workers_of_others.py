"""Workers and slices over REST: each agent within its namespaces, each worker with what it was given."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from apps.runs.models import Membership, Namespace, Run
from apps.stf import services
from apps.stf.choices import WorkerStatus
from apps.stf.models import TFSlice, Worker
from apps.stf.services import Beat
from tests.people import a_user
from tests.rest import Agent, errors
from tests.slices import a_sliced_run, expire, heard, silence, slice_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


@pytest.fixture(autouse=True)
def ours(settings: Any) -> None:
    settings.SWF_NAMESPACE = "test"


@pytest.fixture
def run() -> Run:
    """A run of this testbed's namespace with queued slices."""
    return a_sliced_run()


@pytest.fixture
def here(run: Run) -> Agent:
    a_user("ann", "agent", within="test")
    return Agent("ann")


@pytest.fixture
def elsewhere(run: Run) -> Agent:
    a_user("eve", "operator", within="other")
    return Agent("eve")


def claimed(agent: Agent, worker_id: str = "farm-9", **said: Any) -> TFSlice:
    """The one slice that this worker is given."""
    (row,) = agent.post("tf-slices/claim/", {"worker_id": worker_id, **said}, status=200)
    return TFSlice.objects.get(pk=row["id"])


def result(agent: Agent, one: TFSlice, worker_id: str, word: str = "done", *, status: int = 200) -> Any:
    """What the word of a worker on a slice is answered."""
    said = {"worker_id": worker_id, "status": word}
    return agent.post(f"tf-slices/{one.pk}/result/", said, status=status)


def test_nobody_else_writes_about_a_worker(here: Agent, elsewhere: Agent) -> None:
    here.post("workers/", {"worker_id": "farm-9"})
    one = claimed(here)
    bodies: list[dict[str, Any]] = [
        {"worker_id": "farm-9", "status": "ended"},
        {"worker_id": "farm-9", "status": "ended", "namespace": "other"},
        {"worker_id": " farm-9 ", "status": "ended", "namespace": "other"},
        {"worker_id": "mine", "namespace": "other", "req_id": str(one.req_id)},
        {"worker_id": "mine", "req_id": one.req_id.hex},
        {"worker_id": "mine"},
    ]

    assert [body for body in bodies if elsewhere.ask("POST", "workers/", body).status_code != 403] == []
    elsewhere.post("tf-slices/claim/", {"worker_id": "farm-9"}, status=403)
    result(elsewhere, one, "farm-9", status=403)
    elsewhere.patch(f"tf-slices/{one.pk}/", {"status": "done"}, status=403)
    assert Worker.objects.get().status == "ready"
    after = slice_of(one.req_id)
    assert (after.status, after.assigned_worker, after.lease_until) == ("claimed", "farm-9", one.lease_until)
    assert here.post("workers/", {"worker_id": "farm-9", "status": "ended"}, status=200)["status"] == "ended"


def test_a_worker_of_the_bus_is_of_this_testbed(elsewhere: Agent) -> None:
    heard("host-1")

    for namespace in ({}, {"namespace": "other"}):
        elsewhere.post("workers/", {"worker_id": "host-1", "status": "ended"} | namespace, status=403)


def test_a_name_that_was_taken_over_rest_is_given_back_to_a_worker_of_the_bus(elsewhere: Agent) -> None:
    said = {"worker_id": "host-1", "namespace": "other"}
    elsewhere.post("workers/", said)
    elsewhere.post("workers/", said | {"status": "ended"}, status=200)
    for _ in range(2):
        heard("host-1", namespace="test")

    worker = Worker.objects.get()
    assert (worker.status, worker.namespace and worker.namespace.name) == ("ready", "test")
    elsewhere.post("workers/", said | {"status": "ended"}, status=403)
    heard("host-1", "ended", namespace="test")
    heard("host-1", namespace="test")
    assert Worker.objects.get().status == "ended"


def test_one_of_before_is_of_this_testbed(elsewhere: Agent) -> None:
    heard("host-1")
    Worker.objects.update(namespace=None)

    elsewhere.post("workers/", {"worker_id": "host-1", "status": "ended"}, status=403)
    problem = elsewhere.post(
        "workers/", {"worker_id": "host-1", "status": "ended", "namespace": "other"}, status=409
    )
    assert errors(problem) == {"namespace"}
    assert Worker.objects.get().status == "ready"


def test_a_worker_is_of_the_namespace_that_it_says_or_of_its_slice(here: Agent, elsewhere: Agent) -> None:
    Membership.objects.create(
        user=here.client.get("/").wsgi_request.user, namespace=Namespace.objects.get(name="other")
    )
    said = here.post("workers/", {"worker_id": "farm-1", "namespace": "other"})
    one = claimed(here, "farm-2")
    Run.objects.update(namespace=Namespace.objects.get(name="other"))
    busy = here.post("workers/", {"worker_id": "farm-2", "status": "busy", "req_id": str(one.req_id)})
    plain = here.post("workers/", {"worker_id": "farm-3"})

    assert (said["namespace"], busy["namespace"], plain["namespace"]) == ("other", "other", "test")
    assert elsewhere.post("workers/", {"worker_id": "farm-1"}, status=200)["namespace"] == "other"
    here.post("workers/", {"worker_id": "farm-1", "namespace": "test"}, status=409)


def test_slices_are_claimed_of_runs_of_ones_own_namespaces(here: Agent, elsewhere: Agent) -> None:
    assert elsewhere.post("tf-slices/claim/", {"worker_id": "w", "limit": 9}, status=200) == []
    assert claimed(here).assigned_worker == "farm-9"
    a_user("bob", "agent", within="")
    Agent("bob").post("tf-slices/claim/", {"worker_id": "w"}, status=403)
    a_user("chief", "agent")
    assert len(Agent("chief").post("tf-slices/claim/", {"worker_id": "w", "limit": 9}, status=200)) == 5


def test_only_the_word_of_who_was_given_a_slice_counts(here: Agent) -> None:
    one = claimed(here)
    queued = TFSlice.objects.filter(status="queued")[0]

    assert "farm-9" in result(here, one, "farm-8")["ignored"]
    assert "nobody" in result(here, queued, "farm-8")["ignored"]
    assert result(here, one, "farm-8", word="failed")["ignored"]
    here.post(f"tf-slices/{one.pk}/result/", {"status": "done"}, status=400)
    assert slice_of(one.req_id).status == "claimed"
    assert slice_of(queued.req_id).status == "queued"
    assert result(here, one, "farm-9")["ignored"] == ""


def test_a_good_result_counts_until_the_slice_is_given_to_another(here: Agent, run: Run) -> None:
    late, too_late = claimed(here, "slow"), claimed(here, "slower")
    expire(late, too_late)
    services.return_expired()

    assert result(here, late, "slow")["ignored"] == ""
    here.post("tf-slices/claim/", {"worker_id": "quick", "limit": 9}, status=200)
    assert "quick" in result(here, too_late, "slower")["ignored"]


def test_a_heartbeat_renews_no_lease_of_another(here: Agent) -> None:
    one = claimed(here)
    said = here.post("workers/", {"worker_id": "thief", "status": "busy", "req_id": str(one.req_id)})
    here.post("workers/", {"worker_id": "thief", "status": "busy", "req_id": str(uuid4())}, status=200)

    after = slice_of(one.req_id)
    assert (after.assigned_worker, after.lease_until) == ("farm-9", one.lease_until)
    assert said["current_slice_id"] is None


def test_a_worker_that_is_lost_loses_no_slice_of_another_namespace(here: Agent, elsewhere: Agent) -> None:
    """Its name was free, since the worker which has the slice has not been heard of yet."""
    one = claimed(here)
    elsewhere.post("workers/", {"worker_id": "farm-9", "pid": 1, "namespace": "other"})
    silence("farm-9")

    assert services.mark_lost() == ["farm-9"]
    assert slice_of(one.req_id).status == "claimed"


def test_workers_of_this_testbed_serve_runs_of_all_namespaces(run: Run) -> None:
    Run.objects.update(namespace=Namespace.objects.create(name="other"))
    heard("host-1")
    one, _ = services.claim_slices(1)
    beat = Beat("host-1", WorkerStatus.BUSY, pid=1, req_id=one.req_id, attempt=1, namespace="test")
    services.record_heartbeats([beat])
    silence("host-1")
    services.mark_lost()

    assert slice_of(one.req_id).status == "queued"
