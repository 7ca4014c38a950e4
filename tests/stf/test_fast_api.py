"""The fast path as REST and the admin show it, in the existing system's words."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.runs.models import Run
from apps.stf.choices import WorkerStatus
from apps.stf.models import FastMonFile
from tests.fast import a_sampled_run, beat, claimed, cut, not_sampled, sampled, settle
from tests.people import a_user
from tests.queries import queries_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer", "long_heard")]

LISTS = ("fastmon-samples", "fastmon-files", "tf-slices", "workers")
ADMIN = ("fastrun", "fastmonsample", "fastmonfile", "histogramwindow", "tfslice", "worker")


def results(client: Client, query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = client.get(f"/api/{query}{'&' if '?' in query else '?'}limit=100").json()[
        "results"
    ]
    return rows


def a_run_at_work() -> Run:
    """STF 1 is cut into four slices, of which one is done and one in a worker's hands; 2 is sampled, 3 was skipped."""
    run = a_sampled_run(1)
    cut(run)
    first, second = claimed()
    beat("host-1", WorkerStatus.BUSY, req_id=second.req_id, attempt=1)
    settle(first)
    sampled(run, 2)
    not_sampled(run, 3, skipped="older than 10 s")
    return run


def test_a_sample_is_shown_with_its_tf_files(client: Client) -> None:
    run = a_run_at_work()

    (skipped,) = results(client, f"fastmon-samples/?run={run.run_number}&state=skipped")
    assert (skipped["sequence"], skipped["reason"]) == (3, "older than 10 s")
    second, first = results(client, f"fastmon-samples/?run_number={run.run_number}&state=sampled")
    assert [first["tf_count"], second["sequence"], sum(first["hits_by_detector"])] == [20, 2, first["hits"]]

    files = results(client, f"fastmon-files/?stf_filename={first['stf_filename']}&status=registered")
    assert [(one["tf_first"], one["tf_last"], one["tf_count"]) for one in files] == [(50, 59, 10), (0, 9, 10)]
    assert {one["stf_file"] for one in files} == {first["stf_filename"]}
    assert client.get(f"/api/fastmon-files/{files[0]['tf_file_id']}/").json() == files[0]


def test_slices_and_workers_name_each_other(client: Client) -> None:
    run = a_run_at_work()
    name = FastMonFile.objects.filter(sample__run=run, sample__sequence=1).latest("pk").tf_filename

    slices = results(client, f"tf-slices/?run_number={run.run_number}&tf_filename={name}")
    assert [(one["slice_id"], one["status"], one["assigned_worker"]) for one in slices] == [
        (1, "done", "host-1"),
        (0, "claimed", "host-1"),
    ]
    assert {one["fastmon_file"] for one in slices} == {name}
    assert len(results(client, "tf-slices/?status=queued&status=done")) == 3
    (worker,) = results(client, "workers/?up=true&status=busy")
    assert (worker["worker_id"], worker["current_slice_id"], worker["tf_filename"]) == ("host-1", 0, name)
    assert client.get("/api/workers/host-1/").json() == worker


def test_a_worker_with_nothing_in_hand_has_no_slice(client: Client) -> None:
    beat("host-2")

    worker = client.get("/api/workers/host-2/").json()

    assert (worker["current_slice_id"], worker["tf_filename"]) == (None, None)


def test_unknown_states_are_refused(client: Client) -> None:
    assert client.get("/api/tf-slices/?status=lost").status_code == 400
    assert client.get("/api/fastmon-samples/?state=cut").status_code == 400


@pytest.mark.parametrize("name", LISTS)
def test_lists_take_a_constant_number_of_queries(client: Client, name: str) -> None:
    run = a_run_at_work()
    few = queries_of(lambda: client.get(f"/api/{name}/"))
    sampled(run, 4)
    cut(run)
    beat("host-3")

    assert queries_of(lambda: client.get(f"/api/{name}/")) == few


def test_samples_are_made_by_nobody_over_rest(client: Client) -> None:
    client.force_login(a_user("ann", "operator"))

    assert client.post("/api/fastmon-samples/", {}, "application/json").status_code == 405


@pytest.mark.parametrize("name", ADMIN)
def test_the_admin_shows_it_and_lets_nobody_change_it(admin_client: Client, name: str) -> None:
    run = a_run_at_work()
    one = {
        "fastrun": run.fast,
        "fastmonsample": run.samples.first(),
        "fastmonfile": FastMonFile.objects.first(),
        "histogramwindow": run.histogram_windows.first(),
        "tfslice": run.slices.first(),
    }.get(name)

    assert admin_client.get(f"/admin/stf/{name}/?q={run.run_number}").status_code == 200
    if one is not None:
        page = admin_client.get(f"/admin/stf/{name}/{one.pk}/change/")
        assert page.status_code == 200
        assert 'name="_save"' not in page.content.decode()
    assert admin_client.get(f"/admin/stf/{name}/add/").status_code == 403
