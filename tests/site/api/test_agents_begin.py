"""What agents of the existing system ask before they begin: numbers, namespaces, heartbeats, subscriptions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.agents.models import Subscriber, SystemAgent
from apps.agents.registry import AGENTS
from apps.agents.services import beat
from apps.runs.models import Counter, JournalEntry, Namespace
from swf_site.pages import overview
from tests.factories import a_run
from tests.parallel import in_parallel
from tests.people import a_user
from tests.queries import queries_of
from tests.rest import Agent, errors

pytestmark = pytest.mark.django_db

BEAT = {
    "instance_name": "data-agent-ann-7",
    "agent_type": "DATA",
    "status": "OK",
    "description": "DATA agent. MQ: connected",
    "mq_connected": True,
    "pid": 4711,
    "hostname": "swf01",
    "operational_state": "READY",
    "namespace": "torre1",
}


def kinds() -> list[str]:
    return list(JournalEntry.objects.order_by("id").values_list("kind", flat=True))


def test_numbers_follow_each_other(agent: Agent) -> None:
    answers = [agent.post("state/next-agent-id/", status=200) for _ in range(2)]
    assert answers == [{"status": "success", "agent_id": 1}, {"status": "success", "agent_id": 2}]

    first = agent.post("state/next-run-number/", status=200)
    assert first == {"status": "success", "run_number": 100010}
    sequence = agent.post("state/next-workflow-execution-id/", {"workflow_name": "demo"}, status=200)
    assert sequence == {"status": "success", "sequence": 1}
    assert kinds() == ["number_given"] * 4


def test_a_run_of_ours_and_a_number_given_are_never_the_same(agent: Agent) -> None:
    ours = [a_run().run_number]
    given = agent.post("state/next-run-number/", status=200)["run_number"]
    ours.append(a_run().run_number)

    assert [*ours, given] == [100010, 100012, 100011]


@pytest.mark.django_db(transaction=True)
def test_nobody_is_given_the_same_number_twice() -> None:
    agents = [Agent() for _ in range(4)]
    answers = in_parallel(
        *(lambda agent=agent: agent.post("state/next-run-number/", status=200) for agent in agents)
    )

    assert sorted(answer["run_number"] for answer in answers) == list(range(100010, 100014))  # type: ignore[index]


def test_numbers_are_not_for_everybody(client: Client) -> None:
    assert client.post("/api/state/next-run-number/").status_code == 401
    assert not Counter.objects.exists()


def test_a_namespace_is_made_once(agent: Agent) -> None:
    first = agent.post("namespaces/ensure/", {"name": "torre1", "owner": "torre"})
    again = agent.post("namespaces/ensure/", {"name": "torre1", "owner": "ann"}, status=200)

    assert (first["status"], first["created"], again["created"]) == ("success", True, False)
    assert (again["owner"], Namespace.objects.count()) == ("torre", 1)
    assert [row["name"] for row in agent.get("namespaces/?search=torre")["results"]] == ["torre1"]
    assert kinds() == ["namespace_created"]


def test_the_journal_says_who_asked_whoever_owns_it(agent: Agent) -> None:
    agent.post("namespaces/ensure/", {"name": "torre1", "owner": "torre"})
    agent.post("namespaces/ensure/", {"name": "torre2"})

    entries = JournalEntry.objects.filter(kind="namespace_created").order_by("pk")
    assert [(entry.actor, entry.payload["owner"]) for entry in entries] == [
        ("agent", "torre"),
        ("agent", "agent"),
    ]


def test_a_namespace_has_a_name_that_queues_may_have(agent: Agent) -> None:
    assert errors(agent.post("namespaces/ensure/", {"name": "no good/"}, status=400)) == {"name"}


def test_a_heartbeat_makes_the_agent_known(agent: Agent) -> None:
    first = agent.post("systemagents/heartbeat/", BEAT)
    again = agent.post("systemagents/heartbeat/", {**BEAT, "total_stf_processed": 5}, status=200)

    assert first["instance_name"] == again["instance_name"] == "data-agent-ann-7"
    assert (again["id"], again["namespace"], again["total_stf_processed"]) == (first["id"], "torre1", 5)
    assert again["counters"]["mq_connected"] is True
    assert agent.get("systemagents/data-agent-ann-7/")["status"] == "OK"
    assert kinds() == ["agent_started"]


def test_an_agent_of_another_system_may_be_quiet_for_longer(agent: Agent) -> None:
    agent.post("systemagents/heartbeat/", BEAT)
    for quiet, state in ((60, "Ready"), (200, "Silent")):
        SystemAgent.objects.update(last_heartbeat=timezone.now() - timedelta(seconds=quiet))
        assert [one.state for one in overview.agents()] == [state]


def test_coming_going_and_waiting_are_journalled(agent: Agent) -> None:
    for said in (
        {},
        {"status": "WARNING"},
        {"status": "OK"},
        {"operational_state": "EXITED", "status": "EXITED"},
        {"operational_state": "EXITED", "status": "EXITED"},
        {},
        {"pid": 4712},
    ):
        agent.ask("POST", "systemagents/heartbeat/", {**BEAT, **said})

    assert kinds() == [
        "agent_started",
        "agent_waiting",
        "agent_resumed",
        "agent_exited",
        "agent_started",
        "agent_started",
    ]


def test_an_agent_keeps_its_type_and_what_it_does_not_say(agent: Agent) -> None:
    agent.post("systemagents/heartbeat/", BEAT)
    problem = agent.post("systemagents/heartbeat/", {**BEAT, "agent_type": "PROCESSING"}, status=409)
    agent.post("systemagents/heartbeat/", {"instance_name": "data-agent-ann-7"}, status=200)

    assert errors(problem) == {"agent_type"}
    assert "next-agent-id" in problem["detail"]
    known = SystemAgent.objects.get()
    assert (known.agent_type, known.pid, known.hostname) == ("DATA", 4711, "swf01")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("instance_name", ""),
        ("status", "FINE"),
        ("operational_state", "SILENT"),
        ("operational_state", "FLYING"),
        ("pid", "many"),
        ("instance_name", "x" * 101),
        ("description", "nul \x00"),
    ],
)
def test_a_heartbeat_with_a_wrong_value_names_its_field(agent: Agent, field: str, value: Any) -> None:
    assert errors(agent.post("systemagents/heartbeat/", {**BEAT, field: value}, status=400)) == {field}
    assert not SystemAgent.objects.exists()


def test_a_subscriber_registers_as_often_as_it_likes(agent: Agent) -> None:
    said = {"subscriber_name": "a-/topic/epictopic", "description": "x", "is_active": True, "fraction": 1.0}
    first = agent.post("subscribers/", said)
    again = agent.post("subscribers/", {**said, "fraction": 0.5}, status=200)

    assert first["id"] == again["id"]
    assert (Subscriber.objects.get().fraction, kinds()) == (
        0.5,
        ["subscriber_registered", "subscriber_changed"],
    )
    assert errors(agent.post("subscribers/", {**said, "fraction": 2}, status=400)) == {"fraction"}


def test_lists_take_a_constant_number_of_queries(agent: Agent) -> None:
    def requests() -> list[int]:
        return [
            queries_of(lambda path=path: agent.client.get(f"/api/{path}/"))
            for path in ("systemagents", "subscribers", "namespaces", "logs", "logs/summary")
        ]

    def more(number: int) -> None:
        agent.post("systemagents/heartbeat/", {**BEAT, "instance_name": f"agent-{number}"})
        agent.post("subscribers/", {"subscriber_name": f"s{number}"})
        agent.post("namespaces/ensure/", {"name": f"n{number}"})
        log = {"app_name": f"a{number}", "instance_name": "b", "level": 40, "message": "bad"}
        agent.post("logs/", log)

    more(1)
    few = requests()
    for number in range(2, 5):
        more(number)

    assert requests() == few


@pytest.mark.parametrize("name", [*AGENTS, "relay"])
def test_an_agent_of_this_testbed_is_not_written_over_rest(agent: Agent, name: str) -> None:
    said = {"instance_name": name, "status": "ERROR", "description": "gone"}
    unheard_of = agent.post("systemagents/heartbeat/", said, status=403)
    beat(name, agent_type=name, started_at=timezone.now(), waiting_for="", counters={})
    SystemAgent.objects.filter(instance_name=name).update(instance_name=f"{name}-2")
    agent.post("systemagents/heartbeat/", said | {"instance_name": f"{name}-2"}, status=403)
    # As one that was written over REST by an earlier version.
    SystemAgent.objects.update(instance_name=name, visiting=True)
    a_user("root", "admin")
    Agent("root").post("systemagents/heartbeat/", said, status=403)

    assert "next-agent-id" in unheard_of["detail"]
    assert SystemAgent.objects.get().status == "OK"
    beat(name, agent_type=name, started_at=timezone.now(), waiting_for="", counters={})
    assert not SystemAgent.objects.get().visiting


def test_a_name_belongs_to_the_user_who_registered_it(agent: Agent) -> None:
    subscriber = {"subscriber_name": "data-agent-ann-7", "is_active": True}
    agent.post("systemagents/heartbeat/", BEAT)
    agent.post("subscribers/", subscriber)
    a_user("eve", "operator")
    a_user("root", "admin")

    problem = Agent("eve").post("systemagents/heartbeat/", {**BEAT, "status": "ERROR"}, status=403)
    Agent("eve").post("subscribers/", subscriber | {"is_active": False}, status=403)
    assert "registered by agent" in problem["detail"]
    assert SystemAgent.objects.get().status == "OK"
    assert Subscriber.objects.get().is_active
    Agent("root").post("systemagents/heartbeat/", {**BEAT, "status": "WARNING"}, status=200)
    Agent("root").post("subscribers/", subscriber, status=200)
    Agent("agent").post("systemagents/heartbeat/", BEAT, status=200)
    Agent("agent").post("subscribers/", subscriber, status=200)


def test_a_name_of_before_belongs_to_who_uses_it_next(agent: Agent) -> None:
    agent.post("systemagents/heartbeat/", BEAT)
    SystemAgent.objects.update(registered_by="")
    a_user("eve", "agent")

    Agent("eve").post("systemagents/heartbeat/", BEAT, status=200)
    agent.post("systemagents/heartbeat/", BEAT, status=403)
