"""Runs and their journal over REST."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.agents.bus.relay import sequence
from apps.runs.models import JournalEntry
from tests.factories import a_run, a_running_run, ended
from tests.queries import queries_of

pytestmark = pytest.mark.django_db


def test_a_run_is_found_by_its_number(client: Client) -> None:
    run = a_running_run()

    answer = client.get(f"/api/runs/{run.run_number}/").json()

    assert (answer["run_number"], answer["lifecycle"], answer["state"]) == (run.run_number, "running", "run")
    assert answer["parameters"] == run.parameters
    assert answer["requested_by"] == "tester"


def test_runs_are_listed_newest_first_and_filtered(client: Client) -> None:
    old, running, new = a_run(), a_running_run(), a_run()

    def listed(query: str) -> list[int]:
        return [row["run_number"] for row in client.get(f"/api/runs/?{query}").json()["results"]]

    assert listed("") == [new.run_number, running.run_number, old.run_number]
    assert listed("lifecycle=running") == [running.run_number]
    assert listed("namespace=test&limit=1&offset=2") == [old.run_number]
    assert listed("requested_by=nobody") == []


def test_the_journal_is_followed_by_position(client: Client) -> None:
    run = a_running_run()
    sequence()
    seen, following = [], True
    while following:
        after = seen[-1] if seen else 0
        rows = client.get("/api/journal/", {"after": after, "limit": 3, "run": run.run_number}).json()[
            "results"
        ]
        seen += [row["position"] for row in rows]
        following = bool(rows)

    assert seen == list(
        JournalEntry.objects.filter(run=run).order_by("position").values_list("position", flat=True)
    )


def test_entries_without_a_position_are_not_shown_yet(client: Client) -> None:
    """Otherwise a follower could pass over them."""
    a_run()

    assert client.get("/api/journal/").json()["results"] == []


def test_lists_take_a_constant_number_of_queries(client: Client) -> None:
    def requests() -> list[int]:
        sequence()
        return [queries_of(lambda path=path: client.get(path)) for path in ("/api/runs/", "/api/journal/")]

    a_running_run()
    few = requests()
    for _ in range(3):
        ended(a_running_run(), count=0)

    assert requests() == few


@pytest.mark.parametrize("path", ["/api/runs/7/", "/api/journal/7/"])
def test_what_is_not_there_is_a_problem_that_says_so(client: Client, path: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 404
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["title"] == "Not Found"


@pytest.mark.parametrize("query", ["lifecycle=flying", "namespace=nowhere", "requested_after=yesterday"])
def test_a_filter_that_makes_no_sense_is_refused(client: Client, query: str) -> None:
    answer = client.get(f"/api/runs/?{query}")

    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["errors"]


def test_runs_are_not_written_over_rest(client: Client) -> None:
    assert client.post("/api/runs/", {}, content_type="application/json").status_code in {401, 405}
