"""A POST with an `Idempotency-Key` has its effect once, whoever sends it again and when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.utils import timezone

from apps.runs.models import Counter, IdempotentAnswer
from tests.parallel import in_parallel
from tests.rest import Agent

pytestmark = pytest.mark.django_db

NUMBER = "state/next-run-number/"


def test_the_same_request_is_answered_the_same(agent: Agent) -> None:
    first, again = (agent.ask("POST", NUMBER, Idempotency_Key="k1") for _ in range(2))
    other = agent.ask("POST", NUMBER, Idempotency_Key="k2")

    assert first.content == again.content != other.content
    assert (again.status_code, again["Content-Type"]) == (200, first["Content-Type"])
    assert ("Idempotency-Replayed" in first, again["Idempotency-Replayed"]) == (False, "true")
    assert Counter.objects.get().value == 100011


def test_a_creation_stays_a_creation(agent: Agent) -> None:
    """201 again, though the namespace is there: the client has not had its answer."""
    said = {"name": "torre1"}
    first, again = (agent.post("namespaces/ensure/", said, Idempotency_Key="k1") for _ in range(2))

    assert first == again
    assert first["created"] is True


def test_another_request_with_the_same_key_is_refused(agent: Agent) -> None:
    agent.post("namespaces/ensure/", {"name": "one"}, Idempotency_Key="k1")

    problem = agent.post("namespaces/ensure/", {"name": "two"}, status=422, Idempotency_Key="k1")
    assert "new one" in problem["detail"]
    assert agent.ask("POST", NUMBER, Idempotency_Key="k1").status_code == 422


def test_keys_of_others_are_others(agent: Agent) -> None:
    numbers = [one.post(NUMBER, status=200, Idempotency_Key="k1") for one in (agent, Agent("bob"))]

    assert numbers[0] != numbers[1]


def test_a_token_is_as_good_as_a_session() -> None:
    """And keeps its keys to itself: who does not have it is not given its answers."""
    one, other = (Agent(by_token=True) for _ in range(2))
    numbers = [client.post(NUMBER, status=200, Idempotency_Key="k1") for client in (one, other, one)]

    assert numbers[0] == numbers[2] != numbers[1]


def test_an_error_is_not_kept(agent: Agent) -> None:
    agent.post("namespaces/ensure/", {"name": "no good/"}, status=400, Idempotency_Key="k1")

    agent.post("namespaces/ensure/", {"name": "good"}, Idempotency_Key="k1")


def test_what_fails_half_way_leaves_nothing(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    def gives_up(*arguments: Any, **options: Any) -> int:
        raise RuntimeError("a bug")

    agent.client.raise_request_exception = False
    with monkeypatch.context() as broken:
        broken.setattr("apps.runs.services.numbers._given", gives_up)
        assert agent.ask("POST", NUMBER, Idempotency_Key="k1").status_code == 500

    assert not IdempotentAnswer.objects.exists()
    assert not Counter.objects.exists()
    assert agent.post(NUMBER, status=200, Idempotency_Key="k1")["run_number"] == 100010


def test_an_answer_is_kept_for_a_day(agent: Agent) -> None:
    agent.post(NUMBER, status=200, Idempotency_Key="k1")
    agent.post(NUMBER, status=200, Idempotency_Key="k2")
    IdempotentAnswer.objects.update(created_at=timezone.now() - timedelta(hours=25))

    assert agent.post(NUMBER, status=200, Idempotency_Key="k1")["run_number"] == 100012
    assert IdempotentAnswer.objects.count() == 1


def test_a_key_that_is_too_long_is_refused(agent: Agent) -> None:
    assert "255" in agent.post(NUMBER, status=400, Idempotency_Key="k" * 256)["detail"]


def test_a_body_that_is_too_large_to_be_remembered_is_refused(agent: Agent) -> None:
    problem = agent.post("logs/", ["x" * 3_000_000], status=413, Idempotency_Key="k1")

    assert "2621440 bytes" in problem["detail"]


@pytest.mark.django_db(transaction=True)
def test_the_same_request_many_times_at_once_has_one_effect() -> None:
    agents = [Agent() for _ in range(6)]

    def ask(one: Agent) -> HttpResponse:
        return one.ask("POST", NUMBER, Idempotency_Key="k1")

    answers: Any = in_parallel(*(lambda one=one: ask(one) for one in agents))

    assert {answer.content for answer in answers} == {answers[0].content}
    assert sorted("Idempotency-Replayed" in answer for answer in answers) == [False] + [True] * 5
    assert Counter.objects.get().value == 100010
