"""Every way in holds back those who guess, and lets those in who know."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from apps.agents.services import issue_token
from swf_site.settings import env
from tests.pages import text
from tests.people import a_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def rates(settings: Any) -> None:
    settings.SWF_WRONG_PER_USER = "2/hour"
    settings.SWF_WRONG_PER_ADDRESS = "2/hour"


def basic(name: str, password: str, address: str = "10.0.0.1", **more: str) -> Any:
    credentials = b64encode(f"{name}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}", **more}
    return Client(REMOTE_ADDR=address).get("/api/runs/", headers=headers)


def by_token(secret: str, address: str = "10.0.0.1", **more: str) -> Any:
    headers = {"Authorization": f"Bearer {secret}", **more}
    return Client(REMOTE_ADDR=address).get("/api/runs/", headers=headers)


def log_in(password: str, address: str = "10.0.0.1", at: str = "/login/") -> Any:
    return Client(REMOTE_ADDR=address).post(at, {"username": "ann", "password": password}, follow=True)


def test_the_login_page_says_how_long_to_wait() -> None:
    a_user("ann", "admin", password="beam")
    for _ in range(2):
        assert "enter a correct username" in text(log_in("bear"))

    page = log_in("beam")

    assert page.status_code == 429
    assert 1700 < int(page["Retry-After"]) <= 1800
    assert "Too many wrong passwords from 10.0.0.1; the next try is in 30 minutes." in text(page)
    assert "beam" not in page.content.decode()


def test_the_login_of_the_admin_is_that_of_the_pages() -> None:
    a_user("ann", "admin", password="beam")

    for _ in range(3):
        page = log_in("beam", at="/admin/login/")

    assert page.redirect_chain == [("/login/?next=/admin/", 302)]
    assert page.wsgi_request.user.is_anonymous


def test_basic_authentication_is_held_back_with_the_login_page() -> None:
    a_user("ann", "viewer", password="beam")
    log_in("bear")
    assert basic("ann", "bear").status_code == 401

    answer = basic("ann", "beam")

    assert (answer.status_code, answer["Content-Type"]) == (429, "application/problem+json")
    assert 1700 < int(answer["Retry-After"]) <= 1800
    assert re.fullmatch(
        r"too many wrong passwords [^;]*; the next try is in \d+ \w+", answer.json()["detail"]
    )
    assert log_in("beam").status_code == 429


def test_a_user_who_was_here_gets_in_while_others_guess() -> None:
    a_user("ann", "viewer", password="beam")
    assert basic("ann", "beam", "10.0.0.9").status_code == 200

    for n in range(3):
        basic("ann", "bear", f"10.0.0.{n}")

    assert basic("ann", "beam", "10.0.0.8").status_code == 429
    assert basic("ann", "beam", "10.0.0.9").status_code == 200
    assert log_in("beam", "10.0.0.9").status_code == 200


def test_good_tokens_are_taken_also_from_where_many_wrong_ones_come() -> None:
    ann = a_user("ann", "viewer")
    good = issue_token(ann, by="tester", name="good").secret

    statuses = [by_token(f"swf_{n}").status_code for n in range(3)]

    assert statuses == [401, 401, 429]
    assert 1700 < int(by_token("swf_x")["Retry-After"]) <= 1800
    assert by_token(good).status_code == 200
    assert by_token("swf_x", "10.0.0.2").status_code == 401


def test_a_token_that_was_good_once_is_no_guess() -> None:
    ended = issue_token(a_user("ann", "viewer"), by="tester", name="ended")
    ended.token.user.is_active = False
    ended.token.user.save()

    assert {by_token(ended.secret).status_code for _ in range(5)} == {401}


def test_a_key_of_idempotency_is_no_way_around() -> None:
    client = Client()
    headers = {"Authorization": "Bearer swf_x", "Idempotency-Key": "k"}

    statuses = [client.post("/api/logs/", headers=headers).status_code for _ in range(3)]

    assert statuses == [401, 401, 429]


def test_an_address_that_a_client_makes_up_is_not_believed(settings: Any) -> None:
    made_up = [by_token("swf_x", **{"X-Forwarded-For": f"10.1.0.{n}"}).status_code for n in range(3)]
    settings.SWF_PRODUCTION = True
    added = [
        by_token("swf_x", "127.0.0.1", **{"X-Forwarded-For": f"10.1.0.{n}, 10.2.0.1"}).status_code
        for n in range(3)
    ]

    assert made_up == added == [401, 401, 429]


def test_a_rate_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWF_WRONG_PER_USER", "5 tries")

    with pytest.raises(ImproperlyConfigured, match="SWF_WRONG_PER_USER"):
        env.rate("SWF_WRONG_PER_USER", "")
