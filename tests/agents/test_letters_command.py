"""`manage.py dead_letters`: what it shows, does and refuses."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from apps.agents import selectors, services
from apps.agents.management.commands.dead_letters import Command
from apps.agents.models import DeadLetter
from apps.runs.models import JournalEntry

from .letters import Handler, parked, replay, unreadable

pytestmark = pytest.mark.django_db


def said(*arguments: object) -> str:
    """What the command prints."""
    out = StringIO()
    call_command("dead_letters", *map(str, arguments), stdout=out)
    return out.getvalue()


def states() -> list[str]:
    return list(DeadLetter.objects.order_by("pk").values_list("state", flat=True))


def test_open_letters_are_listed_with_what_to_do_next() -> None:
    letter, gone = parked(Handler()), unreadable("{the second")
    services.discard([gone.pk], by="ann", reason="nonsense")

    text = said()
    assert str(letter.pk) in text
    assert "the DAQ has no such run" in text
    assert "the second" not in text
    assert "replay --all" in text
    assert "the second" in said("--state", "discarded")
    assert "the second" in said("--state", "all", "--agent", "data")


def test_an_empty_list_says_where_to_look() -> None:
    assert said() == (
        "No dead letters are open. Those that were replayed or discarded: dead_letters --state all\n"
    )
    assert said("--state", "all") == "There are no dead letters: no message was ever parked.\n"
    assert "No dead letters of data are discarded" in said("--state", "discarded", "--agent", "data")


def test_a_long_list_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.agents.management.commands.dead_letters.LISTED", 2)
    for _ in range(3):
        unreadable()

    assert "1 older ones are not shown; --json prints all." in said()
    assert len(json.loads(said("--json"))["dead_letters"]) == 3


def test_a_letter_is_shown_with_its_body() -> None:
    letter = parked(Handler(), "beam checks")

    text = said("show", letter.pk)
    assert '\n  "reason": "beam checks"\n}' in text
    assert json.loads(said("show", letter.pk, "--json"))["body"] == letter.body
    assert json.loads(said("--json"))["dead_letters"] == [json.loads(said("show", letter.pk, "--json"))]


def test_what_strangers_sent_does_not_steer_the_terminal() -> None:
    letter = unreadable("\x1b[2J[bold]{not json")

    assert "\x1b" not in said() + said("show", letter.pk)
    assert r"\x1b[2J[bold]{not json" in said("show", letter.pk)


def test_letters_are_replayed_by_id() -> None:
    handler = Handler()
    letters = [parked(handler, name) for name in "abc"]

    text = said("replay", letters[0].pk, letters[2].pk, "--by", "ann")
    assert "asked for 2: agents that run" in text
    assert replay(handler) == ["a", "c"]
    assert {entry.actor for entry in JournalEntry.objects.filter(kind="message_replayed")} == {"ann"}
    assert "nothing to replay" in said("replay", letters[0].pk)


@pytest.mark.parametrize(
    ("options", "states_after"),
    [
        (["replay", "--all"], ["requested", "requested", "requested", "open"]),
        (["replay", "--all", "--agent", "data"], ["requested", "requested", "open", "open"]),
        (["--agent", "data", "replay", "--all"], ["requested", "requested", "open", "open"]),
        (["replay", "--all", "--msg-type", "pause_workflow"], ["requested", "open", "open", "open"]),
    ],
)
def test_letters_are_replayed_by_filter(options: list[str], states_after: list[str]) -> None:
    parked(Handler()), unreadable(), unreadable(agent="daqsim"), unreadable(agent="relay")
    said(*options)

    assert states() == states_after


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["replay"], "say which letters: their ids, or --all"),
        (["replay", "7", "--all"], "say which letters: their ids, or --all"),
        (["replay", "7", "--agent", "data"], "they do not go with ids"),
        (["--state", "discarded", "replay", "--all"], "name those that are discarded by id"),
        (["--agent", "relay", "replay", "--all"], "it is a journal entry that makes no valid message"),
        (["replay", "7"], "there is no dead letter 7"),
        (["show", "7"], "there is no dead letter 7"),
        (["discard", "7", "--reason", "x"], "there is no dead letter 7"),
        (["discard", "7", "--reason", ""], "discarding needs a name"),
        (["discard", "7"], "--reason"),
        (["show", "seven"], "invalid int value"),
        (["--agent", "nobody"], "invalid choice: 'nobody'"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(options: list[str], why: str) -> None:
    unreadable(agent="relay")
    with pytest.raises(CommandError, match=why):
        said(*options)

    assert states() == ["open"]


def test_letters_are_discarded() -> None:
    letter = parked(Handler())

    assert "1 discarded by ann: by mistake" in said(
        "discard", letter.pk, "--reason", "by mistake", "--by", "ann"
    )
    assert states() == ["discarded"]
    assert "by ann: by mistake" in said("show", letter.pk)


def test_a_database_that_is_away_is_a_reason_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise OperationalError("connection refused\nIs the server running?")

    monkeypatch.setattr(selectors, "letter_list", away)
    with pytest.raises(CommandError, match=r"the database does not answer: connection refused$"):
        said()


def test_help_teaches_by_example() -> None:
    text = Command().create_parser("manage.py", "dead_letters").format_help()

    assert '\n  dead_letters discard 7 --reason "sent by mistake"\n' in text
