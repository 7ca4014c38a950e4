"""Dead letters on the terminal: a table of them, and one with its body."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rich.console import Group
from rich.table import Table
from rich.text import Text

from apps.agents.choices import LetterState
from apps.agents.models import DeadLetter

_STYLES = {
    LetterState.OPEN: "red",
    LetterState.REQUESTED: "yellow",
    LetterState.REPLAYED: "green",
    LetterState.DISCARDED: "dim",
}


def letter_table(letters: Iterable[DeadLetter]) -> Table:
    """One row per letter."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("id", "parked (UTC)", "state", "agent", "message"):
        table.add_column(column, no_wrap=True)
    table.add_column("replays", justify="right")
    table.add_column("reason", overflow="fold", ratio=1)
    for letter in letters:
        table.add_row(
            str(letter.pk),
            _moment(letter.parked_at),
            _state(letter),
            letter.agent,
            plain(letter.msg_type or "unknown"),
            str(letter.replays),
            plain(letter.reason),
        )
    return table


def one_letter(letter: DeadLetter) -> Group:
    """Everything that is known of a letter, its body last."""
    facts = Table.grid(padding=(0, 2))
    facts.add_row("state", _state(letter))
    facts.add_row("agent", letter.agent)
    facts.add_row("message", plain(f"{letter.msg_type or 'unknown'} {letter.msg_id}"))
    facts.add_row("parked", f"{_moment(letter.parked_at)} UTC")
    facts.add_row("reason", plain(letter.reason))
    facts.add_row("replays", str(letter.replays))
    if letter.replay_requested_at:
        asked = f"{_moment(letter.replay_requested_at)} UTC by {letter.replay_requested_by}"
        facts.add_row("replay asked", plain(asked))
    if letter.replayed_at:
        facts.add_row("replayed", f"{_moment(letter.replayed_at)} UTC")
    if letter.discarded_at:
        why = f"{_moment(letter.discarded_at)} UTC by {letter.discarded_by}: {letter.discarded_reason}"
        facts.add_row("discarded", plain(why))
    return Group(facts, Text(), plain(letter.readable_body))


def _state(letter: DeadLetter) -> Text:
    state = LetterState(letter.state)
    return Text(state.label, style=_STYLES[state])


def _moment(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S}"


def plain(text: str) -> Text:
    """The text of a stranger, with what could steer the terminal written out."""
    return Text("".join(sign if sign.isprintable() or sign == "\n" else repr(sign)[1:-1] for sign in text))
