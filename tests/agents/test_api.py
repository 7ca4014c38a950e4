"""Agents and dead letters over REST, and in the admin."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from apps.agents import services
from apps.agents.models import DeadLetter

pytestmark = pytest.mark.django_db


def test_an_agent_tells_what_it_waits_for(client: Client) -> None:
    services.beat(
        "data",
        agent_type="data",
        started_at=timezone.now(),
        waiting_for="Rucio is away",
        counters={"registered": 7},
    )

    answer = client.get("/api/systemagents/data/").json()

    assert (answer["status"], answer["description"]) == ("WARNING", "Rucio is away")
    assert answer["counters"] == {"registered": 7}


def test_a_dead_letter_is_shown_as_it_came(client: Client) -> None:
    services.park("data", "{not json", "not JSON: property name expected")

    (letter,) = client.get("/api/dead-letters/?agent=data").json()["results"]

    assert (letter["body"], letter["reason"]) == ("{not json", "not JSON: property name expected")


def test_a_dead_letter_may_be_deleted_in_the_admin(admin_client: Client) -> None:
    services.park("data", "{not json", "not JSON: property name expected")
    letter = DeadLetter.objects.get()

    admin_client.post(f"/admin/agents/deadletter/{letter.pk}/delete/", {"post": "yes"})

    assert not DeadLetter.objects.exists()
