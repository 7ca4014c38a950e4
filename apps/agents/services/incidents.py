"""Incidents: something that a person should know of. Opened once, acknowledged and cleared by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.runs import journal
from apps.runs.errors import DomainError, NotFound
from apps.runs.inserting import insert_if_new
from apps.runs.models import Run

from ..choices import IncidentKind, IncidentState
from ..models import Incident


@dataclass(frozen=True)
class Trouble:
    """What is wrong: of which kind, with what (such as an STF), and why one says so."""

    kind: IncidentKind
    subject: str
    reason: str
    run: Run | None = None


@transaction.atomic
def open_incidents(troubles: Sequence[Trouble]) -> int:
    """Open an incident for each, unless one of its kind and subject is open or acknowledged already.

    Returns:
        How many are opened by this.
    """
    opened = []
    for trouble in troubles:
        incident = Incident(
            kind=trouble.kind, subject=trouble.subject, run=trouble.run, reason=trouble.reason
        )
        if insert_if_new(incident):
            opened.append(incident)
    journal.record_many([_change("incident_opened", incident, incident.reason) for incident in opened])
    return len(opened)


@transaction.atomic
def acknowledge(incident_ids: Iterable[int], *, by: str) -> int:
    """Somebody knows of these incidents and looks after them.

    Returns:
        How many were open; others stay as they are.

    Raises:
        NotFound: an incident does not exist.
        DomainError: `by` is empty. Then none is acknowledged.
    """
    if not by.strip():
        raise DomainError("acknowledging needs a name (by): it stays with the incident")
    incidents = [one for one in _locked(incident_ids) if one.state == IncidentState.OPEN]
    _update(incidents, state=IncidentState.ACKNOWLEDGED, acknowledged_at=timezone.now(), acknowledged_by=by)
    with journal.on_behalf_of(by):
        journal.record_many([_change("incident_acknowledged", one, one.reason) for one in incidents])
    return len(incidents)


@transaction.atomic
def clear(incident_ids: Iterable[int], *, by: str, reason: str) -> int:
    """These incidents are over. The next trouble of the same kind and subject is a new one.

    Returns:
        How many were not cleared before; those that were keep their first reason.

    Raises:
        NotFound: an incident does not exist.
        DomainError: name or reason are empty. Then none is cleared.
    """
    if not by.strip() or not reason.strip():
        raise DomainError("clearing needs a name (by) and a reason: both stay with the incident")
    incidents = [one for one in _locked(incident_ids) if one.state != IncidentState.CLEARED]
    _update(
        incidents,
        state=IncidentState.CLEARED,
        cleared_at=timezone.now(),
        cleared_by=by,
        cleared_reason=reason,
    )
    with journal.on_behalf_of(by):
        journal.record_many([_change("incident_cleared", one, reason) for one in incidents])
    return len(incidents)


def _locked(incident_ids: Iterable[int]) -> list[Incident]:
    """The incidents, oldest first, locked until the transaction ends."""
    ids = set(incident_ids)
    incidents = list(
        Incident.objects.select_for_update(of=("self",))
        .select_related("run")
        .filter(pk__in=ids)
        .order_by("pk")
    )
    if missing := sorted(ids - {incident.pk for incident in incidents}):
        raise NotFound(f"there is no incident {', '.join(map(str, missing))}")
    return incidents


def _update(incidents: Sequence[Incident], **fields: Any) -> None:
    Incident.objects.filter(pk__in=[incident.pk for incident in incidents]).update(**fields)


def _change(kind: str, incident: Incident, reason: str) -> journal.Change:
    return journal.Change(
        kind,
        run=incident.run,
        subject=incident.subject,
        payload={"incident": incident.pk, "kind": incident.kind, "reason": reason},
    )
