"""How often one may ask over REST: each token, user and address for itself."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from apps.agents.services import issue_token
from swf_site.buckets import Buckets
from swf_site.settings import env
from tests.people import a_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swf_site.api.throttling._asked", Buckets())


def asked(times: int, client: Client, **how: Any) -> list[int]:
    """The statuses of so many requests."""
    return [client.get("/api/runs/", **how).status_code for _ in range(times)]


def test_each_token_has_a_rate_of_its_own(settings: Any) -> None:
    settings.SWF_THROTTLE = "2/minute"
    ann = a_user("ann", "viewer")
    one, other = (
        {"Authorization": f"Bearer {issue_token(ann, by='tester', name='for tests').secret}"} for _ in "ab"
    )
    client = Client()

    assert asked(3, client, headers=one) == [200, 200, 429]
    assert asked(1, client, headers=other) == [200]
    client.force_login(ann)
    assert asked(3, client) == [200, 200, 429]


def test_what_is_too_much_is_a_problem_that_says_when_to_come_back(settings: Any) -> None:
    settings.SWF_THROTTLE_ANONYMOUS = "1/hour"
    client = Client()
    asked(1, client)

    answer = client.get("/api/runs/")

    assert (answer.status_code, answer["Content-Type"]) == (429, "application/problem+json")
    assert 3500 < int(answer["Retry-After"]) <= 3600
    assert "throttled" in answer.json()["detail"]


def test_an_address_that_a_client_makes_up_is_not_believed(settings: Any) -> None:
    settings.SWF_THROTTLE_ANONYMOUS = "1/hour"

    statuses = [asked(1, Client(), headers={"X-Forwarded-For": f"10.0.0.{n}"})[0] for n in range(2)]

    assert statuses == [200, 429]


def test_there_is_no_limit_unless_one_is_set() -> None:
    assert set(asked(30, Client())) == {200}


@pytest.mark.parametrize("rate", ["fast", "0/minute", "10/minutes", "10", "-1/hour"])
def test_a_rate_that_is_none_is_refused(rate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWF_THROTTLE", rate)

    with pytest.raises(ImproperlyConfigured, match="600/minute"):
        env.rate("SWF_THROTTLE", "")
