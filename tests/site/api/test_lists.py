"""All lists alike: asked for what they offer, ordered, searched, and taken home as CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.agents.models import AppLog
from apps.agents.services import record_logs
from apps.runs.models import Namespace
from apps.stf.models import StfFile
from swf_site.api.urls import router
from tests.factories import a_running_run, an_stf
from tests.rest import Agent, errors

pytestmark = pytest.mark.django_db


@pytest.fixture
def beats(agent: Agent) -> Agent:
    """Two agents have been heard of."""
    for name, kind, words in (("b", "DATA", "=1+1"), ("a", "PROCESSING", 'waits, for "Rucio"')):
        said = {"instance_name": name, "agent_type": kind, "description": words, "metadata": {"x": [1]}}
        agent.post("systemagents/heartbeat/", said)
    return agent


def names(agent: Agent, query: str) -> list[str]:
    return [row["instance_name"] for row in agent.get(f"systemagents/?{query}")["results"]]


def test_a_list_is_ordered_by_what_it_offers(beats: Agent) -> None:
    assert names(beats, "ordering=instance_name") == ["a", "b"]
    assert names(beats, "ordering=-instance_name") == ["b", "a"]
    assert names(beats, "ordering=agent_type") == ["b", "a"]
    assert names(beats, "ordering=last_heartbeat&limit=1") == ["b"]


@pytest.mark.parametrize("path", ["systemagents/?ordering=pid", "incidents/?ordering=id"])
def test_other_orders_are_refused(beats: Agent, path: str) -> None:
    answer: Any = beats.ask("GET", path)

    assert answer.status_code == 400
    assert errors(answer.json()) == {"ordering"}


@pytest.mark.parametrize(
    ("path", "name", "offered"),
    [
        ("runs/?run_nubmer=100010", "run_nubmer", "run_number, lifecycle, "),
        ("systemagents/?page=2", "page", "search, ordering, limit, offset, format"),
        ("systemagents/a/?instance=b", "instance", "instance_name"),
        ("journal/?offset=10", "offset", "cursor, limit, format"),
        ("journal/?search=stf", "search", "after, run, kind"),
        ("logs/summary/?limit=1", "limit", "app_name, "),
        ("tf-slices/?stf=1&limit=1", "stf", "stf_filename"),
        ("namespaces/?Owner=ann", "Owner", "owner, search"),
    ],
)
def test_what_a_list_does_not_know_is_refused(beats: Agent, path: str, name: str, offered: str) -> None:
    answer: Any = beats.ask("GET", path)

    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert answer.json()["errors"].keys() == {name}
    assert offered in answer.json()["errors"][name][0]


def test_what_is_written_is_not_looked_up_by_parameters(agent: Agent) -> None:
    agent.post("namespaces/ensure/?for=tests", {"name": "torre1", "owner": "ann"})


def test_every_list_knows_its_own_parameters(agent: Agent) -> None:
    """The links of its pages, and all of its filters."""
    for prefix, view, _ in router.registry:
        filters = getattr(view, "filterset_class", None)
        for name in [*(filters.base_filters if filters else ()), "format", "limit"]:
            answer: Any = agent.ask("GET", f"{prefix}/?{name}=")
            assert b"no such parameter" not in answer.content, (prefix, name)


def test_a_list_is_searched(beats: Agent) -> None:
    assert names(beats, "search=rucio") == ["a"]


@pytest.mark.usefixtures("exit_buffer")
def test_names_of_files_are_searched_by_their_beginning_in_an_index(agent: Agent) -> None:
    run = a_running_run()
    names = [an_stf(run, sequence).stf_filename for sequence in (1, 2, 12)]
    found = agent.get(f"stf-files/?search={names[0][:-4]}&ordering=sequence")

    assert [row["stf_filename"] for row in found["results"]] == [names[0]]
    assert agent.get(f"stf-files/?search={names[0][1:]}")["results"] == []
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = StfFile.objects.filter(stf_filename__startswith=names[0]).order_by().explain()
    assert "Index Cond" in plan
    assert "stf_filename_unique" in plan


def test_a_list_comes_as_csv(beats: Agent) -> None:
    answer: Any = beats.ask("GET", "systemagents/?format=csv&ordering=instance_name")

    assert answer["Content-Type"].startswith("text/csv")
    a, b = csv.DictReader(io.StringIO(answer.content.decode()))
    assert (a["instance_name"], a["description"]) == ("a", 'waits, for "Rucio"')
    assert a["counters"] == '{"x": [1]}'
    # No spreadsheet shall calculate what a stranger has written.
    assert b["description"] == "'=1+1"


def test_one_row_and_none_come_as_csv_too(beats: Agent) -> None:
    one: Any = beats.ask("GET", "systemagents/a/?format=csv")
    none: Any = beats.ask("GET", "systemagents/?format=csv&agent_type=none")

    assert len(one.content.decode().splitlines()) == 2
    assert none.content.decode().splitlines() == one.content.decode().splitlines()[:1]


def test_every_list_has_its_columns_in_csv(agent: Agent) -> None:
    for prefix, view, _ in router.registry:
        answer: Any = agent.ask("GET", f"{prefix}/?format=csv")
        columns = answer.content.decode().splitlines()[0].split(",")
        assert columns == list(view.serializer_class().fields), prefix


@pytest.mark.parametrize("paged", ["logs/?", "namespaces/?", "logs/?limit=4&"])
def test_a_table_says_where_it_goes_on(agent: Agent, paged: str) -> None:
    """All pages together have all rows, in JSON too."""
    Namespace.objects.bulk_create(Namespace(name=f"space{number}") for number in range(150))
    fields: dict[str, Any] = {"app_name": "a", "instance_name": "b", "level": 20, "timestamp": timezone.now()}
    record_logs([AppLog(message=str(number), **fields) for number in range(150)])
    rows: list[Any] = []
    address = f"{paged}format=csv"
    for _ in range(50):
        answer: Any = agent.ask("GET", address)
        rows += csv.DictReader(io.StringIO(answer.content.decode()))
        as_json: Any = agent.ask("GET", address.replace("format=csv", "format=json"))
        assert (as_json.json()["next"] or "") == answer.get("Link", "<>")[1:].partition(">")[0].replace(
            "format=csv", "format=json"
        )
        if "Link" not in answer:
            break
        address, _, relation = answer["Link"].partition("/api/")[2].partition(">")
        assert relation == '; rel="next"'

    assert len({row.get("id") or row["name"] for row in rows}) == len(rows) >= 150


@pytest.mark.parametrize("path", ["runs/{}/statistics/", "runs/{}/state/", "runs/{}/fastmon/"])
@pytest.mark.parametrize("accept", ["", "text/csv"])
def test_what_is_no_table_does_not_come_as_one(agent: Agent, path: str, accept: str) -> None:
    run = a_running_run()
    query, headers = ("", {"Accept": accept}) if accept else ("?format=csv", {})
    for address in (path.format(run.run_number), "state/at/", "logs/summary/", ""):
        answer: Any = agent.ask("GET", address + query, **headers)
        assert (answer.status_code, answer["Content-Type"]) == (406, "application/problem+json"), address


def test_other_formats_are_refused_with_those_that_there_are(agent: Agent) -> None:
    problem = agent.get("runs/?format=xml", status=406)

    assert problem["errors"] == {"format": ["'xml' is not offered here; there are json, csv"]}


def test_errors_are_problems_whatever_is_asked_for(beats: Agent) -> None:
    answer: Any = beats.ask("GET", "systemagents/?format=csv&ordering=pid")

    assert answer["Content-Type"] == "application/problem+json"
    assert errors(answer.json()) == {"ordering"}
