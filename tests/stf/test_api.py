"""STFs, replicas and datasets over REST."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client

from apps.stf.choices import ReplicaState
from tests.factories import a_running_run, an_stf, change_replicas, registered, verified
from tests.queries import queries_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def test_an_stf_is_shown_with_every_facet_and_its_copies(client: Client, exit_buffer: Path) -> None:
    run = a_running_run()
    (stf,) = registered(an_stf(run))
    change_replicas([stf], ReplicaState.VERIFIED, at=["E1_BNL"])
    change_replicas([stf], ReplicaState.FAILED, at=["E1_JLAB"], reason="no space left")

    answer = client.get(f"/api/stf-files/{stf.stf_filename}/").json()

    assert (answer["registration"], answer["buffer"], answer["checksum"]) == (
        "registered",
        "held",
        stf.checksum,
    )
    copies = {copy["rse"]: (copy["state"], copy["reason"]) for copy in answer["replicas"]}
    assert copies == {"E1_BNL": ("verified", ""), "E1_JLAB": ("failed", "no space left")}
    assert next(copy for copy in answer["replicas"] if copy["rse"] == "E1_BNL")["verified_at"]


def test_an_stf_that_is_safe_says_so_in_one_field(client: Client) -> None:
    (stf,) = verified(an_stf(a_running_run()))

    assert client.get(f"/api/stf-files/{stf.stf_filename}/").json()["buffer"] == "releasable"


def test_stfs_are_filtered(client: Client) -> None:
    run, other = a_running_run(), a_running_run()
    registered(an_stf(run, 1))
    an_stf(run, 2)
    an_stf(other, 1)

    def listed(query: str) -> list[tuple[int, int]]:
        rows = client.get(f"/api/stf-files/?{query}").json()["results"]
        return [(row["run_number"], row["sequence"]) for row in rows]

    assert listed(f"run={run.run_number}") == [(run.run_number, 2), (run.run_number, 1)]
    assert listed("registration=registered") == [(run.run_number, 1)]
    assert listed("buffer=released") == []
    assert listed("sequence=1&registration=generated") == [(other.run_number, 1)]


def test_copies_are_filtered_by_site_and_state(client: Client) -> None:
    run = a_running_run()
    stf, _ = registered(an_stf(run, 1), an_stf(run, 2))
    change_replicas([stf], ReplicaState.VERIFIED, at=["E1_BNL"])

    rows = client.get("/api/replicas/?rse=E1_BNL&state=requested").json()["results"]

    assert [row["sequence"] for row in rows] == [2]


def test_the_dataset_of_a_run_is_found_by_its_number(client: Client) -> None:
    run = a_running_run()
    registered(an_stf(run))

    answer = client.get(f"/api/datasets/{run.run_number}/").json()

    assert (answer["did"], answer["is_open"]) == (f"group.daq:swf.{run.run_number}.run", True)


def test_lists_take_a_constant_number_of_queries(client: Client) -> None:
    def requests() -> list[int]:
        paths = ("/api/stf-files/", "/api/replicas/", "/api/datasets/")
        return [queries_of(lambda path=path: client.get(path)) for path in paths]

    registered(an_stf(a_running_run()))
    few = requests()
    run = a_running_run()
    verified(*(an_stf(run, sequence) for sequence in range(1, 8)))

    assert requests() == few
