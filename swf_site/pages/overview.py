"""What surrounds every run: the agents with their health in words, and the exit buffer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from apps.agents.choices import AgentStatus, OperationalState
from apps.agents.models import SystemAgent
from apps.agents.selectors import open_letters
from apps.runs.models import Run
from apps.runs.workflow_parameters import Buffer
from apps.stf.selectors import BufferUsage, buffer_usage

# An agent beats every few seconds; one that has been quiet for so long is not well.
SILENT_AFTER = timedelta(seconds=15)
# Those of other systems beat every minute.
VISITOR_SILENT_AFTER = timedelta(minutes=3)


@dataclass(frozen=True)
class AgentView:
    """One agent as pages show it."""

    agent: SystemAgent
    state: str
    colour: str
    words: str


def agents() -> list[AgentView]:
    """All agents; one query."""
    now = timezone.now()
    return [_view(agent, now) for agent in SystemAgent.objects.all()]


def dead_letter_count() -> int:
    """Parked messages that somebody should look at."""
    return open_letters().count()


def exit_buffer(newest: Run | None) -> BufferUsage:
    """The exit buffer; its capacity is what the newest run was told."""
    capacity = newest.parameters["buffer"]["capacity_bytes"] if newest else Buffer().capacity_bytes
    return buffer_usage(capacity_bytes=capacity)


def _view(agent: SystemAgent, now: datetime) -> AgentView:
    if agent.operational_state == OperationalState.EXITED:
        return AgentView(agent, "Exited", "grey", "was stopped")
    if now - agent.last_heartbeat > (VISITOR_SILENT_AFTER if agent.visiting else SILENT_AFTER):
        return AgentView(
            agent, "Silent", "red", "sends no heartbeat: see its log, ./swf-testbed status-local"
        )
    if agent.status != AgentStatus.OK:
        colour = "red" if agent.status == AgentStatus.ERROR else "amber"
        return AgentView(agent, agent.get_status_display(), colour, agent.description)
    state = OperationalState(agent.operational_state)
    return AgentView(agent, state.label, "green", "nothing waits")
