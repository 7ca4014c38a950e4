"""Agents that are not ours, as they describe themselves over REST: heartbeats and subscriptions. A name belongs to the user
who registers it first; admins may write under any."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.runs import journal
from apps.runs.errors import BelongsToAnother, FieldRefused
from apps.runs.inserting import insert_if_new

from ..choices import AgentStatus, OperationalState
from ..models import Subscriber, SystemAgent
from ..registry import AGENTS


@dataclass(frozen=True, kw_only=True)
class VisitorBeat:
    """What an agent says of itself; None is what it does not say, and leaves as it was."""

    instance_name: str
    agent_type: str | None = None
    description: str | None = None
    status: AgentStatus | None = None
    operational_state: OperationalState | None = None
    namespace: str | None = None
    hostname: str | None = None
    pid: int | None = None
    counters: dict[str, Any] = field(default_factory=dict)


@transaction.atomic
def visitor_beat(said: VisitorBeat, *, by: str, by_admin: bool = False) -> tuple[SystemAgent, bool]:
    """Write a heartbeat. Coming up, going, starting to wait and ceasing to wait are journal entries.

    Returns:
        The agent, and whether it was not known before.

    Raises:
        FieldRefused: an agent of this name has another type.
        BelongsToAnother: it is another user's, or an agent of this testbed.
    """
    row = SystemAgent(
        instance_name=said.instance_name,
        agent_type=said.agent_type or "other",
        description="",
        visiting=True,
        registered_by=by,
    )
    created = said.instance_name not in _OWN and insert_if_new(row)
    agent = row if created else _known_agent(said.instance_name, by, by_admin=by_admin)
    if said.agent_type and said.agent_type != agent.agent_type:
        raise FieldRefused(
            "agent_type",
            f"{agent.instance_name} is an agent of the type {agent.agent_type!r}, not {said.agent_type!r}: "
            "give the new agent an instance_name of its own (state/next-agent-id/)",
        )
    before = None if created else SystemAgent(**{name: getattr(agent, name) for name in _COMPARED})
    _describe(agent, said)
    agent.save()
    if kind := _what_happened(before, agent):
        with journal.acting_as(by):
            payload = {"pid": agent.pid, "reason": agent.description, "status": agent.status}
            journal.record(journal.Change(kind, subject=agent.instance_name, payload=payload))
    return agent, created


@transaction.atomic
def subscribe(
    subscriber_name: str, *, by: str, by_admin: bool = False, **said: Any
) -> tuple[Subscriber, bool]:
    """Write down who is sent messages; a known subscriber is described anew.

    Args:
        said: fields of `Subscriber`, as far as they are said.

    Returns:
        The subscriber, and whether it was not known before.

    Raises:
        BelongsToAnother: it is another user's.
    """
    created = insert_if_new(Subscriber(subscriber_name=subscriber_name, registered_by=by))
    subscriber = Subscriber.objects.select_for_update().get(subscriber_name=subscriber_name)
    _check_owner(subscriber, by, by_admin=by_admin)
    changed = {name: value for name, value in said.items() if getattr(subscriber, name) != value}
    for name, value in changed.items():
        setattr(subscriber, name, value)
    subscriber.updated_at = timezone.now()
    subscriber.save()
    if created or changed:
        kind = "subscriber_registered" if created else "subscriber_changed"
        with journal.acting_as(by):
            journal.record(journal.Change(kind, subject=subscriber_name, payload=changed))
    return subscriber, created


_OWN = frozenset({*AGENTS, "relay"})
_COMPARED = ("pid", "hostname", "status", "operational_state")
_SAID = ("description", "status", "operational_state", "namespace", "hostname", "pid")


def _known_agent(name: str, by: str, *, by_admin: bool) -> SystemAgent:
    """The agent, locked, if this user may write about it."""
    agent = SystemAgent.objects.select_for_update().filter(instance_name=name).first()
    if name in _OWN or agent is None or not agent.visiting:
        raise BelongsToAnother(
            f"{name} is an agent of this testbed, which itself says how it is: "
            "give yours another instance_name (state/next-agent-id/)"
        )
    _check_owner(agent, by, by_admin=by_admin)
    return agent


def _check_owner(known: SystemAgent | Subscriber, by: str, *, by_admin: bool) -> None:
    """What nobody has registered, since it is older than that, is whose it will be from now on."""
    if not by_admin and known.registered_by not in ("", by):
        raise BelongsToAnother(f"{known} was registered by {known.registered_by}: take another name")
    known.registered_by = known.registered_by or by


def _describe(agent: SystemAgent, said: VisitorBeat) -> None:
    for name in _SAID:
        if (value := getattr(said, name)) is not None:
            setattr(agent, name, value)
    agent.counters = {**agent.counters, **said.counters}
    agent.last_heartbeat = timezone.now()


def _what_happened(before: SystemAgent | None, agent: SystemAgent) -> str:
    """The kind of the journal entry; empty when nothing has changed that is worth one."""
    exited = OperationalState.EXITED
    if before is None or (before.pid, before.hostname) != (agent.pid, agent.hostname):
        agent_is_new = True
    else:
        agent_is_new = before.operational_state == exited != agent.operational_state
    if agent.operational_state == exited:
        return "" if before is not None and before.operational_state == exited else "agent_exited"
    if agent_is_new:
        return "agent_started"
    if before is not None and before.status != agent.status:
        return "agent_resumed" if agent.status == AgentStatus.OK else "agent_waiting"
    return ""
