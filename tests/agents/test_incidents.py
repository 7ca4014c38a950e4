"""Incidents are opened once for a kind and subject, and closed by name."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from apps.agents import selectors, services
from apps.agents.choices import IncidentKind
from apps.agents.models import Incident
from apps.agents.services import Trouble
from apps.runs.errors import DomainError, NotFound
from apps.runs.models import JournalEntry
from tests.factories import a_run
from tests.people import a_user

pytestmark = pytest.mark.django_db


def trouble(subject: str = "swf.1.stf", reason: str = "TF 7 is corrupt") -> Trouble:
    return Trouble(IncidentKind.CORRUPT_TF, subject, reason, None)


def said() -> list[str]:
    """What the journal says of incidents, and who says it."""
    entries = JournalEntry.objects.filter(kind__startswith="incident").order_by("id")
    return [f"{entry.kind} {entry.subject}" for entry in entries]


def test_it_is_opened_once_until_it_is_cleared() -> None:
    assert services.open_incidents([trouble(), trouble("swf.2.stf")]) == 2
    assert services.open_incidents([trouble(reason="again")]) == 0
    first = Incident.objects.get(subject="swf.1.stf")
    assert first.reason == "TF 7 is corrupt"
    services.acknowledge([first.pk], by="ann")
    assert services.open_incidents([trouble()]) == 0
    services.clear([first.pk], by="ann", reason="disk replaced")
    assert services.open_incidents([trouble()]) == 1
    assert said() == [
        "incident_opened swf.1.stf",
        "incident_opened swf.2.stf",
        "incident_acknowledged swf.1.stf",
        "incident_cleared swf.1.stf",
        "incident_opened swf.1.stf",
    ]
    assert [one.subject for one in selectors.current_incidents()] == ["swf.1.stf", "swf.2.stf"]


def test_names_and_reasons_stay_with_it() -> None:
    services.open_incidents([trouble()])
    [pk] = Incident.objects.values_list("pk", flat=True)
    assert [services.acknowledge([pk], by=name) for name in ("ann", "bob")] == [1, 0]
    assert [services.clear([pk], by=name, reason=f"by {name}") for name in ("bob", "ann")] == [1, 0]
    incident = Incident.objects.get()
    assert (incident.acknowledged_by, incident.cleared_by, incident.cleared_reason) == (
        "ann",
        "bob",
        "by bob",
    )
    assert JournalEntry.objects.get(kind="incident_cleared").actor == "bob"


def test_what_is_lacking_is_refused() -> None:
    services.open_incidents([trouble()])
    [pk] = Incident.objects.values_list("pk", flat=True)
    with pytest.raises(DomainError, match="needs a name"):
        services.acknowledge([pk], by=" ")
    with pytest.raises(DomainError, match="needs a name"):
        services.clear([pk], by="ann", reason="")
    with pytest.raises(NotFound, match=f"there is no incident {pk + 1}"):
        services.clear([pk, pk + 1], by="ann", reason="over")
    assert Incident.objects.get().state == "open"


def test_they_are_read_over_rest(client: Client) -> None:
    run = a_run()
    services.open_incidents(
        [trouble(), Trouble(IncidentKind.CORRUPT_TF, "swf.2.stf", "TF 8 is corrupt", run)]
    )
    (found,) = client.get(f"/api/incidents/?run_number={run}&state=open").json()["results"]
    assert (found["subject"], found["run_number"], found["state"]) == ("swf.2.stf", run.run_number, "open")
    (found,) = client.get("/api/incidents/?search=swf.1").json()["results"]
    assert found["run_number"] is None
    assert client.post("/api/incidents/").status_code in (403, 405)


def test_admins_acknowledge_and_clear_in_the_admin(client: Client) -> None:
    client.force_login(a_user("ann", "admin"))
    services.open_incidents([trouble()])
    [pk] = Incident.objects.values_list("pk", flat=True)
    page = reverse("admin:agents_incident_changelist")
    client.post(page, {"action": "acknowledge", "_selected_action": [pk]})
    assert Incident.objects.get().acknowledged_by == "ann"
    client.post(page, {"action": "clear", "_selected_action": [pk], "reason": ""})
    assert Incident.objects.get().state == "acknowledged"
    client.post(page, {"action": "clear", "_selected_action": [pk], "reason": "over"})
    assert Incident.objects.get().cleared_reason == "over"


def test_operators_acknowledge_and_clear_over_rest(client: Client) -> None:
    client.force_login(a_user("ann", "operator"))
    services.open_incidents([trouble()])
    address = f"/api/incidents/{Incident.objects.get().pk}"

    seen = client.post(f"{address}/acknowledge/")
    unsaid = client.post(f"{address}/clear/", {}, "application/json")
    over = client.post(f"{address}/clear/", {"reason": "over"}, "application/json")

    assert (seen.json()["state"], seen.json()["acknowledged_by"]) == ("acknowledged", "ann")
    assert (unsaid.status_code, list(unsaid.json()["errors"])) == (400, ["reason"])
    assert (over.json()["state"], over.json()["cleared_reason"]) == ("cleared", "over")
    assert client.post("/api/incidents/0/clear/", {"reason": "x"}, "application/json").status_code == 404
