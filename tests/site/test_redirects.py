"""What is written to an address without its final slash is written, or the client hears that it is not."""

from __future__ import annotations

import json
import urllib.request
from typing import Any
from urllib.error import HTTPError

import httpx
import pytest
import requests
from django.test import Client

from apps.agents.services import issue_token
from apps.runs.models import Run
from tests.people import a_user
from tests.web import PATIENCE, Web

RUN = {"run_number": 102827, "run_conditions": {}}


@pytest.fixture
def token(transactional_db: None) -> dict[str, str]:
    """The header of somebody who may write."""
    secret = issue_token(a_user("ann", "agent"), by="tester", name="for tests").secret
    return {"Authorization": f"Token {secret}"}


def test_clients_that_follow_write_there(web: Web, token: dict[str, str]) -> None:
    by_requests = requests.post(f"{web.url}/api/runs", json=RUN, headers=token, timeout=PATIENCE)
    changed = requests.patch(
        f"{web.url}/api/run-states/102827", json={"state": "running"}, headers=token, timeout=PATIENCE
    )
    by_httpx = httpx.post(
        f"{web.url}/api/runs", json=RUN, headers=token, follow_redirects=True, timeout=PATIENCE
    )

    assert (by_requests.status_code, changed.status_code, by_httpx.status_code) == (201, 200, 200)
    assert [step.status_code for step in by_requests.history] == [308]
    assert Run.objects.get().run_number == 102827


def test_a_client_that_does_not_follow_is_told(web: Web, token: dict[str, str]) -> None:
    headers = {**token, "Content-Type": "application/json"}
    wish = urllib.request.Request(f"{web.url}/api/runs", json.dumps(RUN).encode(), headers)

    with pytest.raises(HTTPError) as refusal:
        urllib.request.urlopen(wish, timeout=PATIENCE)

    with refusal.value as answer:
        assert answer.code == 308
    assert not Run.objects.exists()


@pytest.mark.django_db
def test_what_only_reads_goes_on_as_ever(client: Client) -> None:
    answer = client.get("/api/runs?limit=1")

    assert (answer.status_code, answer["Location"]) == (301, "/api/runs/?limit=1")


@pytest.mark.django_db
@pytest.mark.parametrize(("method", "status"), [("GET", 301), ("HEAD", 301), ("POST", 308), ("PATCH", 308)])
def test_the_way_to_tls_keeps_the_method_too(settings: Any, method: str, status: int) -> None:
    settings.SECURE_SSL_REDIRECT = True

    assert Client().generic(method, "/api/runs/").status_code == status
