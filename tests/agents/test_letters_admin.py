"""Dead letters where people meet them in the browser: the admin and the pages."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.agents import services
from apps.agents.models import DeadLetter
from apps.runs.models import JournalEntry
from tests.people import a_user

from .letters import Handler, parked, replay, unreadable

pytestmark = pytest.mark.django_db

LIST = "/admin/agents/deadletter/"


def do(client: Client, action: str, *letters: DeadLetter, reason: str = "") -> str:
    """The page after the action on these letters."""
    chosen = {"action": action, "_selected_action": [letter.pk for letter in letters], "reason": reason}
    return client.post(LIST, chosen, follow=True).content.decode()


def states() -> list[str]:
    return list(DeadLetter.objects.order_by("pk").values_list("state", flat=True))


def signed_in(client: Client, role: str) -> Client:
    """The client as a user with this role."""
    client.force_login(a_user("ann", role))
    return client


def test_letters_are_listed_and_filtered(admin_client: Client) -> None:
    shown, other = unreadable("{the first"), unreadable("{the second", agent="daqsim")
    services.discard([other.pk], by="ann", reason="nonsense")

    page = admin_client.get(LIST, {"state__exact": "open", "agent": "data"}).content.decode()
    assert f"{LIST}{shown.pk}/change/" in page
    assert f"{LIST}{other.pk}/change/" not in page
    assert "{the first" in page
    found = admin_client.get(LIST, {"q": str(other.msg_id)}).content.decode()
    assert f"{LIST}{other.pk}/change/" in found
    assert f"{LIST}{shown.pk}/change/" not in found


def test_a_body_is_shown_readably_and_escaped(admin_client: Client) -> None:
    def shown(letter: DeadLetter) -> str:
        return admin_client.get(f"{LIST}{letter.pk}/change/").content.decode()

    assert "\n  &quot;reason&quot;: &quot;&lt;b&gt;bäm&lt;/b&gt;&quot;\n}</pre>" in shown(
        parked(Handler(), "<b>bäm</b>")
    )
    assert "<pre>{&lt;b&gt;not json</pre>" in shown(unreadable("{<b>not json"))
    assert "&quot;half \\ud800&quot;" in shown(unreadable(["half \ud800"]))


def test_chosen_letters_are_replayed(admin_client: Client) -> None:
    handler = Handler()
    chosen, left = parked(handler, "a"), parked(handler, "b")

    assert "1 of 1 messages will be replayed." in do(admin_client, "replay", chosen)
    assert "1 of 2 messages will be replayed." in do(admin_client, "replay", chosen, left)
    assert replay(handler) == ["a", "b"]
    assert {entry.actor for entry in JournalEntry.objects.filter(kind="message_replayed")} == {"admin"}


def test_what_cannot_be_replayed_is_told_and_nothing_is(admin_client: Client) -> None:
    letters = parked(Handler()), unreadable(agent="relay")

    assert f"Dead letter {letters[1].pk} cannot be replayed" in do(admin_client, "replay", *letters)
    assert states() == ["open", "open"]


def test_chosen_letters_are_discarded_with_a_reason(admin_client: Client) -> None:
    letter = parked(Handler())

    assert "Discarding needs a name (by) and a reason" in do(admin_client, "discard", letter)
    assert "1 of 1 messages discarded." in do(admin_client, "discard", letter, reason="by mistake")
    letter.refresh_from_db()
    assert (letter.discarded_by, letter.discarded_reason) == ("admin", "by mistake")


@pytest.mark.parametrize("role", ["viewer", "agent", "operator"])
def test_the_admin_is_for_admins(client: Client, role: str) -> None:
    letter = parked(Handler())
    page = do(signed_in(client, role), "replay", letter)

    assert f"This needs the role admin; ann has {role}" in page
    assert states() == ["open"]


def test_an_admin_acts_but_edits_and_deletes_nothing(client: Client) -> None:
    letter = parked(Handler())
    signed_in(client, "admin")

    assert client.post(f"{LIST}{letter.pk}/change/", {"reason": "x"}).status_code == 403
    assert client.post(f"{LIST}{letter.pk}/delete/", {"post": "yes"}).status_code == 403
    do(client, "delete_selected", letter)
    assert states() == ["open"]
    do(client, "replay", letter)
    assert states() == ["requested"]


def test_pages_count_and_list_open_letters_only(client: Client) -> None:
    open_letter, other = parked(Handler()), unreadable("{the second")
    services.discard([other.pk], by="ann", reason="nonsense")

    agents = client.get("/agents/").content.decode()
    assert open_letter.reason in agents
    assert "the second" not in agents
    assert f'href="{LIST}?state__exact=open">All 1 in the admin' in agents
    assert "<strong>1</strong></a> to look at" in client.get("/").content.decode()
