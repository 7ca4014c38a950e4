"""Agents and dead letters over REST: anybody reads, replaying and discarding need the permission."""

from __future__ import annotations

from base64 import b64encode

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from apps.agents import services
from apps.agents.models import DeadLetter
from apps.runs.models import JournalEntry
from tests.people import a_user

from .letters import Handler, parked, unreadable

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


def states() -> list[str]:
    """Of all letters, oldest first."""
    return list(DeadLetter.objects.order_by("pk").values_list("state", flat=True))


def signed_in(client: Client, *, role: str = "operator", within: str = "*") -> Client:
    """The client as a user, ann, with this role, in this namespace."""
    client.force_login(a_user("ann", role, within=within))
    return client


def test_a_dead_letter_is_shown_as_it_came(client: Client) -> None:
    letter = unreadable("{not json")

    (listed,) = client.get("/api/dead-letters/?agent=data").json()["results"]

    assert (listed["body"], listed["state"], listed["replays"]) == ("{not json", "open", 0)
    assert listed["reason"] == "a message is a JSON object, this is str: '{not json'"
    assert client.get(f"/api/dead-letters/{letter.pk}/").json() == listed


def test_dead_letters_are_filtered_and_searched(client: Client) -> None:
    early, strange = parked(Handler(), "beam checks"), unreadable("{not json")
    services.discard([strange.pk], by="ann", reason="nonsense")

    def listed(query: str) -> list[int]:
        return [row["id"] for row in client.get(f"/api/dead-letters/?{query}").json()["results"]]

    assert listed("") == [strange.pk, early.pk]
    assert listed("state=open") == listed("msg_type=pause_workflow") == [early.pk]
    assert listed("state=open&state=discarded") == [strange.pk, early.pk]
    assert listed("search=BEAM+checks") == listed("search=no+such+run") == [early.pk]
    assert listed(f"msg_id={strange.msg_id}") == [strange.pk]
    assert listed("agent=daqsim") == []
    answer = client.get("/api/dead-letters/?state=lost")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["state"])


def test_a_letter_is_replayed_over_rest(client: Client) -> None:
    letter = parked(Handler())

    signed_in(client)
    for _ in range(2):
        answer = client.post(f"/api/dead-letters/{letter.pk}/replay/")
        assert (answer.status_code, answer.json()["state"]) == (202, "requested")

    assert JournalEntry.objects.get(kind="message_replayed").actor == "ann"


def test_a_program_signs_in_with_its_password(client: Client) -> None:
    letter = parked(Handler())
    User.objects.create_superuser("ann", password="beam")
    address = f"/api/dead-letters/{letter.pk}/replay/"

    def answered(password: str) -> int:
        basic = b64encode(f"ann:{password}".encode()).decode()
        return client.post(address, headers={"Authorization": f"Basic {basic}"}).status_code

    assert [answered("bear"), answered("beam")] == [401, 202]


@pytest.mark.parametrize(
    ("wish", "states_after"),
    [
        ({"agent": "data"}, ["requested", "requested", "open", "open"]),
        ({"msg_type": "pause_workflow"}, ["requested", "open", "open", "open"]),
        ({"agent": "daqsim", "msg_type": "pause_workflow"}, ["open"] * 4),
        ({"all": True}, ["requested", "requested", "requested", "open"]),
        ({"all": True, "agent": "daqsim"}, ["open", "open", "requested", "open"]),
    ],
)
def test_letters_are_replayed_by_filter(
    client: Client, wish: dict[str, object], states_after: list[str]
) -> None:
    parked(Handler()), unreadable(), unreadable(agent="daqsim"), unreadable(agent="relay")

    answer = signed_in(client).post("/api/dead-letters/replay/", wish, "application/json")

    assert (answer.status_code, answer.json()) == (202, {"requested": states_after.count("requested")})
    assert states() == states_after


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({}, "all"),
        ({"all": False}, "all"),
        ({"agnet": "data", "all": True}, "agnet"),
        ({"agent": "relay"}, "agent"),
        ({"agent": "nobody"}, "agent"),
        ({"msg_type": ""}, "msg_type"),
        ([], "non_field_errors"),
    ],
)
def test_a_wish_that_does_not_say_which_letters_is_refused_by_field(
    client: Client, wish: object, field: str
) -> None:
    parked(Handler())

    answer = signed_in(client).post("/api/dead-letters/replay/", wish, "application/json")

    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert answer["Content-Type"] == "application/problem+json"
    assert states() == ["open"]


def test_a_letter_is_discarded_over_rest_with_a_reason(client: Client) -> None:
    letter = parked(Handler())
    address = f"/api/dead-letters/{letter.pk}/discard/"

    refused = signed_in(client).post(address, {"reason": " "}, "application/json")
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["reason"])
    done = client.post(address, {"reason": "sent by mistake"}, "application/json").json()
    assert (done["state"], done["discarded_by"]) == ("discarded", "ann")
    assert done["discarded_reason"] == "sent by mistake"


def test_what_cannot_be_replayed_is_a_problem_that_says_why(client: Client) -> None:
    letter = unreadable(agent="relay")

    answer = signed_in(client).post(f"/api/dead-letters/{letter.pk}/replay/")

    assert (answer.status_code, answer["Content-Type"]) == (409, "application/problem+json")
    assert "cannot be replayed: it is a journal entry" in answer.json()["detail"]
    missing = client.post("/api/dead-letters/0/replay/")
    assert (missing.status_code, missing.json()["detail"]) == (404, "there is no dead letter 0")
    assert client.post(f"/api/dead-letters/{10**20}/replay/").status_code == 404


@pytest.mark.parametrize("role", [None, "viewer", "agent", "operator"])
@pytest.mark.parametrize("action", ["replay", "discard", "../replay"])
def test_letters_are_for_operators_of_all_namespaces(client: Client, role: str | None, action: str) -> None:
    letter = parked(Handler())
    if role:
        signed_in(client, role=role, within="night")
    address = "/api/dead-letters/replay/" if ".." in action else f"/api/dead-letters/{letter.pk}/{action}/"

    answer = client.post(address, {"reason": "x", "all": True}, "application/json")

    refused = 403 if role else 401
    assert (answer.status_code, answer["Content-Type"]) == (refused, "application/problem+json")
    assert client.get("/api/dead-letters/").status_code == 200
    assert states() == ["open"]


def test_letters_are_neither_made_nor_deleted_over_rest(admin_client: Client) -> None:
    letter = parked(Handler())
    address = f"/api/dead-letters/{letter.pk}/"

    assert admin_client.post("/api/dead-letters/", {}).status_code == 405
    assert admin_client.delete(address).status_code == 405
    assert admin_client.patch(address, {"state": "replayed"}, "application/json").status_code == 405
