"""Heartbeats: how an agent tells that it lives, and what it waits for."""

from __future__ import annotations

import os
import socket
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.runs import journal

from ..choices import AgentStatus, OperationalState
from ..models import SystemAgent


@transaction.atomic
def beat(
    instance_name: str,
    *,
    agent_type: str,
    started_at: datetime,
    waiting_for: str,
    counters: dict[str, Any],
) -> None:
    """Write the heartbeat of this process. Coming up, starting to wait and ceasing to wait are journal entries.

    Args:
        waiting_for: the reason why work waits, empty when none does.
    """
    known = SystemAgent.objects.select_for_update().filter(instance_name=instance_name).first()
    status = AgentStatus.WARNING if waiting_for else AgentStatus.OK
    SystemAgent.objects.update_or_create(
        instance_name=instance_name,
        defaults={
            "agent_type": agent_type,
            "operational_state": OperationalState.READY,
            "status": status,
            "description": waiting_for,
            "hostname": socket.gethostname(),
            "pid": os.getpid(),
            "started_at": started_at,
            "last_heartbeat": timezone.now(),
            "counters": counters,
            "visiting": False,
        },
    )
    if known is None or known.pid != os.getpid() or known.operational_state == OperationalState.EXITED:
        journal.record(journal.Change("agent_started", subject=instance_name, payload={"pid": os.getpid()}))
    elif known.status != status:
        kind = "agent_waiting" if waiting_for else "agent_resumed"
        journal.record(journal.Change(kind, subject=instance_name, payload={"reason": waiting_for}))


@transaction.atomic
def agent_exited(instance_name: str) -> None:
    """This process ends on purpose."""
    changed = SystemAgent.objects.filter(instance_name=instance_name, pid=os.getpid()).update(
        operational_state=OperationalState.EXITED, last_heartbeat=timezone.now(), description=""
    )
    if changed:
        journal.record(journal.Change("agent_exited", subject=instance_name))
