"""Messages delivered, redelivered, parked, replayed and discarded in any order, by an agent that may fail in every way."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from apps.agents import services
from apps.agents.bus.receive import receive
from apps.agents.bus.replays import replay_next
from apps.agents.models import DeadLetter, InboundMessage
from apps.runs.errors import DomainError, RetryableError
from apps.runs.models import JournalEntry
from tests.machines import DatabaseMachine, explore
from tests.messages import a_message

from .letters import Handler, an_agent

NAMES = st.sampled_from("abc")
TROUBLES = st.sampled_from([None, DomainError("no"), RetryableError("away"), ValueError("bug"), SystemExit()])


class Letters(DatabaseMachine):
    """Three messages; an operator and a broker who do as they like."""

    def __init__(self) -> None:
        super().__init__()
        self.handler = Handler()
        self.agent = an_agent(self.handler)
        self.bodies = {name: a_message("pause_workflow", reason=name) for name in "abc"}
        self.sent: set[str] = set()
        self.parked = 0

    @rule(name=NAMES, trouble=TROUBLES)
    def delivered(self, name: str, trouble: BaseException | None) -> None:
        self.sent.add(name)
        self.handler.trouble = trouble
        body = self.bodies[name]
        try:
            receive(self.agent, body, delivery_id=UUID(body["msg_id"]))
        except (RetryableError, SystemExit):
            assert trouble is not None

    @rule(trouble=TROUBLES)
    def replayed(self, trouble: BaseException | None) -> None:
        self.handler.trouble = trouble
        try:
            replay_next(self.agent, handled=lambda message: None)
        except (RetryableError, SystemExit):
            assert trouble is not None

    @rule(names=st.sets(NAMES))
    def asked_for(self, names: set[str]) -> None:
        services.request_replay([letter.pk for letter in self._letters(names)], by="ann")

    @rule(names=st.sets(NAMES))
    def discarded(self, names: set[str]) -> None:
        letters = self._letters(names)
        try:
            services.discard([letter.pk for letter in letters], by="ann", reason="x")
        except DomainError:
            assert any(letter.state == "replayed" for letter in letters)

    @invariant()
    def each_effect_is_once_and_only_of_what_is_done(self) -> None:
        done = [name for name in self.sent if self._outcome(name) == "done"]
        assert sorted(self.handler.handled) == sorted(done)

    @invariant()
    def a_letter_agrees_with_the_inbox(self) -> None:
        for letter in DeadLetter.objects.all():
            outcome = self._outcome(letter.decoded_body["reason"])
            assert (
                outcome
                in {
                    "open": {"parked"},
                    "requested": {"received", "done"},
                    "replayed": {"done"},
                    "discarded": {"parked"},
                }[letter.state]
            )

    @invariant()
    def what_is_parked_has_its_letter(self) -> None:
        parked = {name for name in self.sent if self._outcome(name) == "parked"}
        assert parked <= {letter.decoded_body["reason"] for letter in DeadLetter.objects.all()}

    @invariant()
    def every_parking_is_in_the_journal(self) -> None:
        said = Counter(JournalEntry.objects.values_list("kind", flat=True))
        ended = Counter(state for state in DeadLetter.objects.values_list("state", flat=True))
        replays = sum(DeadLetter.objects.values_list("replays", flat=True))
        assert said["message_parked"] == ended.total() + replays - ended["replayed"]

    def _letters(self, names: set[str]) -> list[DeadLetter]:
        return list(DeadLetter.objects.filter(msg_id__in=[self.bodies[name]["msg_id"] for name in names]))

    def _outcome(self, name: str) -> str:
        return InboundMessage.objects.get(msg_id=self.bodies[name]["msg_id"]).outcome


@pytest.mark.django_db
def test_no_message_is_lost_or_done_twice_whatever_happens() -> None:
    explore(Letters)
