"""What agents of the existing system say has happened, and the messages: both are entries of the journal."""

from __future__ import annotations

import pytest

from apps.agents.bus.relay import sequence
from apps.runs.models import JournalEntry
from tests.factories import a_running_run
from tests.queries import queries_of
from tests.rest import Agent, errors

pytestmark = pytest.mark.django_db


def test_what_an_agent_has_seen_is_kept(agent: Agent) -> None:
    run = a_running_run()
    said = {
        "timestamp": "2026-08-01T10:00:00.5",
        "run_number": str(run.run_number),
        "event_type": "start_run",
        "state": "unknown",
        "substate": None,
        "event_data": {"execution_id": "e-1"},
    }
    kept = agent.post("system-state-events/", said)

    assert (kept["event_type"], kept["run_number"], kept["state"]) == ("start_run", run.run_number, "unknown")
    assert (kept["timestamp"], kept["event_data"]) == ("2026-08-01T10:00:00.500000Z", {"execution_id": "e-1"})
    assert agent.get(f"system-state-events/{kept['event_id']}/") == kept
    # It is no message: the bus has the agent's own.
    assert JournalEntry.objects.get(pk=kept["event_id"]).kind == "system_state_event"
    run.refresh_from_db()
    assert run.state == "run"


def test_events_may_come_before_their_run(agent: Agent) -> None:
    agent.post("system-state-events/", {"run_number": 102827, "event_type": "run_imminent"})

    (found,) = agent.get("system-state-events/?run_number=102827")["results"]
    assert (found["event_type"], found["run_number"]) == ("run_imminent", 102827)


def test_events_are_found(agent: Agent) -> None:
    run = a_running_run()
    agent.post("system-state-events/", {"run_number": run.run_number, "event_type": "slice_result"})

    def found(query: str) -> list[str]:
        rows = agent.get(f"system-state-events/?{query}")["results"]
        return [row["event_type"] for row in rows]

    assert found(f"run_number={run.run_number}") == [
        "slice_result",
        "start_run",
        "core_state",
        "run_imminent",
        "core_state",
    ]
    assert found("event_type=slice_result") == ["slice_result"]
    assert found("event_type=start_run&state=run&substate=physics") == ["start_run"]
    assert found("after=2100-01-01T00:00:00Z") == []
    assert errors(agent.post("system-state-events/", {"run_number": "x"}, status=400)) == {
        "event_type",
        "run_number",
    }


def test_events_are_never_changed(agent: Agent) -> None:
    event = agent.post("system-state-events/", {"event_type": "x"})["event_id"]

    for method in ("PATCH", "PUT", "DELETE"):
        assert agent.ask(method, f"system-state-events/{event}/", {}).status_code == 405


def test_messages_are_shown_in_the_existing_fields(agent: Agent) -> None:
    run = a_running_run()
    other = a_running_run()
    sequence()

    rows = agent.get(f"workflow-messages/?execution_id={run.execution.execution_id}")["results"]
    assert [row["message_type"] for row in rows] == ["start_run", "run_imminent", "run_workflow"]
    assert {(row["run_id"], row["namespace"]) for row in rows} == {(str(run.run_number), "test")}
    assert rows[0]["message_content"]["state"] == "run"
    assert agent.get(f"workflow-messages/{rows[0]['message_id']}/") == rows[0]
    found = agent.get(f"workflow-messages/?run_id={other.run_number}&message_type=start_run")["results"]
    assert len(found) == 1


def test_lists_take_a_constant_number_of_queries(agent: Agent) -> None:
    def requests() -> list[int]:
        sequence()
        return [
            queries_of(lambda path=path: agent.client.get(f"/api/{path}/"))
            for path in ("system-state-events", "workflow-messages")
        ]

    a_running_run()
    few = requests()
    for _ in range(3):
        a_running_run()

    assert requests() == few
