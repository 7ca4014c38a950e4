"""`manage.py dead_letters`: look at parked messages, replay them, discard them."""

from __future__ import annotations

import getpass
import json
from argparse import SUPPRESS
from typing import IO, Any, cast

from django.core.management.base import CommandError, CommandParser
from django.db import Error as DatabaseError
from rich.console import Console

from apps.agents import selectors, services
from apps.agents.api.serializers import DeadLetterSerializer
from apps.agents.choices import LetterState
from apps.agents.registry import AGENTS
from apps.runs.errors import DomainError
from apps.runs.management.help import DescribedCommand

from ..letters import letter_table, one_letter

LISTED = 100
PIPE_WIDTH = 160
HELP = """Messages that an agent could not handle are parked as dead letters, with the reason.
Mend the cause, then have them replayed: their agents are given them again, as if they
had just come. One that cannot be handled is parked again, with the new reason.

  dead_letters                                the open ones
  dead_letters --state all --agent data       all of one agent, whatever became of them
  dead_letters show 7                         one of them, with its body
  dead_letters replay 7 8
  dead_letters replay --all --agent data --msg-type stf_gen
  dead_letters discard 7 --reason "sent by mistake"
"""


class Command(DescribedCommand):
    help = HELP

    def add_arguments(self, parser: CommandParser) -> None:
        # Options before the action count as well: an action's own defaults are suppressed, lest they undo them.
        parser.set_defaults(act=self._list)
        parser.add_argument("--agent", choices=[*AGENTS, "relay"], help="only letters of this agent")
        parser.add_argument(
            "--state",
            choices=[*LetterState.values, "all"],
            help="only letters in this state; by default the open ones",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object, as REST does")
        actions = parser.add_subparsers(title="actions", metavar="{show,replay,discard}")

        show = actions.add_parser("show", help="show one letter with its body")
        show.add_argument("id", type=int, metavar="ID")
        show.add_argument(
            "--json", action="store_true", default=SUPPRESS, help="print one JSON object, as REST does"
        )
        show.set_defaults(act=self._show)

        replay = actions.add_parser("replay", help="have letters given to their agents again")
        replay.add_argument("ids", type=int, nargs="*", metavar="ID")
        replay.add_argument("--all", action="store_true", help="all open letters, instead of ids")
        replay.add_argument(
            "--agent", choices=AGENTS, default=SUPPRESS, help="with --all: only those of this agent"
        )
        replay.add_argument("--msg-type", default="", metavar="TYPE", help="with --all: only this type")
        replay.add_argument("--by", default=getpass.getuser(), help="who asks; by default you")
        replay.set_defaults(act=self._replay)

        discard = actions.add_parser("discard", help="set letters aside, with a reason")
        discard.add_argument("ids", type=int, nargs="+", metavar="ID")
        discard.add_argument("--reason", required=True, help="why nobody needs to look at them")
        discard.add_argument("--by", default=getpass.getuser(), help="who decides; by default you")
        discard.set_defaults(act=self._discard)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            options["act"](options)
        except DomainError as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            reason, *_ = str(error).splitlines() or [type(error).__name__]
            raise CommandError(f"the database does not answer: {reason}") from error

    def _list(self, options: dict[str, Any]) -> None:
        state, agent = options["state"] or LetterState.OPEN.value, options["agent"]
        letters = selectors.letter_list()
        if state != "all":
            letters = letters.filter(state=state)
        if agent:
            letters = letters.filter(agent=agent)
        if options["json"]:
            self._print_json({"dead_letters": DeadLetterSerializer(letters, many=True).data})
        elif count := letters.count():
            self._console().print(letter_table(letters[:LISTED]))
            if count > LISTED:
                self.stdout.write(f"{count - LISTED} older ones are not shown; --json prints all.")
            if state == LetterState.OPEN:
                self.stdout.write("Mend the cause, then: dead_letters replay ID ..., or replay --all")
        else:
            self.stdout.write(_nothing(state, agent))

    def _show(self, options: dict[str, Any]) -> None:
        letter = selectors.get_letter(options["id"])
        if options["json"]:
            self._print_json(DeadLetterSerializer(letter).data)
        else:
            self._console().print(one_letter(letter))

    def _replay(self, options: dict[str, Any]) -> None:
        ids, agent, msg_type = options["ids"], options["agent"] or "", options["msg_type"]
        if bool(ids) == options["all"]:
            raise CommandError("say which letters: their ids, or --all; `dead_letters` lists them")
        if ids and (agent or msg_type):
            raise CommandError("--agent and --msg-type choose among --all; they do not go with ids")
        if options["state"] not in {None, LetterState.OPEN}:
            raise CommandError(f"--all means all open letters; name those that are {options['state']} by id")
        if options["all"]:
            ids = selectors.replayable_letters(agent=agent, msg_type=msg_type).values_list("pk", flat=True)
        asked = services.request_replay(ids, by=options["by"])
        if not asked:
            self.stdout.write("nothing to replay: no such letter is open")
            return
        self.stdout.write(
            f"asked for {asked}: agents that run take them up within a second or so. "
            "What is parked again is open again: dead_letters"
        )

    def _discard(self, options: dict[str, Any]) -> None:
        done = services.discard(options["ids"], by=options["by"], reason=options["reason"])
        self.stdout.write(f"{done} discarded by {options['by']}: {options['reason']}")

    def _console(self) -> Console:
        # A pipe has no width of its own.
        return Console(file=cast("IO[str]", self.stdout), width=None if self.stdout.isatty() else PIPE_WIDTH)

    def _print_json(self, content: Any) -> None:
        self.stdout.write(json.dumps(content))


def _nothing(state: str, agent: str | None) -> str:
    """That there is none, and what to do next."""
    which = f" of {agent}" if agent else ""
    if state == "all":
        return f"There are no dead letters{which}: no message was ever parked."
    if state == LetterState.OPEN:
        return f"No dead letters{which} are open. Those that were replayed or discarded: dead_letters --state all"
    return f"No dead letters{which} are {state}. All there are: dead_letters --state all"
