"""Logs over REST: kept one by one or many at once, found again, summarised, forgotten."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from apps.agents.models import AppLog
from tests.rest import Agent, errors

pytestmark = pytest.mark.django_db


def record(**changes: Any) -> dict[str, Any]:
    """What the existing log handler sends."""
    return {
        "app_name": "swf",
        "instance_name": "data-agent-ann-7",
        "timestamp": timezone.now().replace(tzinfo=None).isoformat(),
        "level": 20,
        "levelname": "INFO",
        "message": "Processing <b>STF</b>",
        "module": "data_agent",
        "funcname": "handle_stf_gen",
        "lineno": 12,
        "process": 4711,
        "thread": 139887654321,
        "extra_data": {"execution_id": "e-1", "run_id": "100010", "username": "ann"},
    } | changes


def test_a_record_is_kept(agent: Agent) -> None:
    answer = agent.post("logs/", record())

    assert (answer["message"], answer["run_number"]) == ("Processing <b>STF</b>", 100010)
    assert agent.get(f"logs/{answer['id']}/") == answer


def test_many_records_are_kept_together_or_not_at_all(agent: Agent) -> None:
    assert len(agent.post("logs/", [record(message=str(number)) for number in range(50)])) == 50

    problem = agent.post("logs/", [record(), record(level="loud")], status=400)
    assert problem["errors"] == {"1": {"level": ["A valid integer is required."]}}
    assert AppLog.objects.count() == 50


def test_only_what_can_be_done_without_may_be_left_out(agent: Agent) -> None:
    kept = agent.post("logs/", {"app_name": "a", "instance_name": "b", "level": 30, "message": ""})

    assert (kept["levelname"], kept["run_number"]) == ("WARNING", None)
    assert errors(agent.post("logs/", {}, status=400)) == {"app_name", "instance_name", "level", "message"}
    agent.post("logs/", record(extra_data={"run_id": "not a number", "x": "\x00"}), status=400)
    agent.post("logs/", record(extra_data={"run_id": "not a number"}, module=None))


def test_records_are_found(agent: Agent) -> None:
    now = timezone.now()
    agent.post(
        "logs/",
        [
            record(message="old", timestamp=(now - timedelta(hours=2)).isoformat()),
            record(message="bad", level=40, levelname="ERROR", extra_data={"run_id": 7}),
            record(message="other", app_name="other", instance_name="other-1"),
        ],
    )

    def found(query: str) -> list[str]:
        return [row["message"] for row in agent.get(f"logs/?{query}")["results"]]

    assert found("") == ["other", "bad", "old"]
    assert found("app_name=other") == found("instance_name=other-1") == ["other"]
    assert found("level=ERROR") == found("level=40") == found("run=7") == found("run_number=7") == ["bad"]
    since = (now - timedelta(hours=1)).isoformat().replace("+", "%2B")
    assert found(f"before={since}") == ["old"]
    assert found(f"after={since}&search=oth") == ["other"]
    assert errors(agent.ask("GET", "logs/?level=LOUD").json()) == {"level"}  # type: ignore[attr-defined]


def test_the_summary_counts_errors_and_shows_the_newest(agent: Agent) -> None:
    agent.post(
        "logs/", [record(level=40, levelname="ERROR", message=f"error {number}") for number in range(7)]
    )
    agent.post("logs/", [record(level=50, levelname="CRITICAL", instance_name="other"), record()])
    agent.post("logs/", record(level=40, levelname="ERROR", timestamp="2020-01-01T00:00:00Z"))

    summary = agent.get("logs/summary/")["swf"]

    mine = summary["data-agent-ann-7"]
    assert (mine["error_counts"], summary["other"]["error_counts"]) == ({"ERROR": 7}, {"CRITICAL": 1})
    assert [row["message"] for row in mine["recent_errors"]] == [
        f"error {number}" for number in (6, 5, 4, 3, 2)
    ]
    assert set(mine["recent_errors"][0]) >= {"timestamp", "level", "message", "module", "funcname", "lineno"}
    assert list(agent.get("logs/summary/?instance_name=other")["swf"]) == ["other"]


def test_old_records_are_forgotten_errors_later(agent: Agent) -> None:
    for days, level in ((1, 20), (40, 20), (40, 40), (100, 40)):
        when = (timezone.now() - timedelta(days=days)).isoformat()
        agent.post("logs/", record(timestamp=when, level=level))

    call_command("prune_logs")

    assert list(AppLog.objects.order_by("pk").values_list("level", flat=True)) == [20, 40]
    call_command("prune_logs", "--days", "0", "--error-days", "0")
    assert not AppLog.objects.exists()
