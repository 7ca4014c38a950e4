"""Asking over REST as a program does: JSON in, JSON out."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client

from apps.agents.services import issue_token
from tests.people import a_user


class Agent:
    """A client of the REST interface that has logged in as a user, or brings a token of the user."""

    def __init__(self, name: str = "agent", *, by_token: bool = False) -> None:
        self.client = Client()
        user = User.objects.filter(username=name).first() or a_user(name, "agent")
        self._headers: dict[str, str] = {}
        if by_token:
            self._headers["Authorization"] = f"Token {issue_token(user, by='tester', name='tests').secret}"
        else:
            self.client.force_login(user)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        """The answer to a request; `headers` with underscores for hyphens."""
        named = self._headers | {name.replace("_", "-"): value for name, value in headers.items()}
        answer: Any = self.client.generic(
            method,
            f"/api/{path}",
            "" if body is None else self.client._encode_json(body, "application/json"),  # type: ignore[attr-defined]
            "application/json",
            headers=named,
        )
        return answer  # type: ignore[no-any-return]

    def get(self, path: str, *, status: int = 200) -> Any:
        """What is there."""
        return self._said("GET", path, None, status, {})

    def post(self, path: str, body: Any = None, *, status: int = 201, **headers: str) -> Any:
        """What a POST is answered, with this status."""
        return self._said("POST", path, body, status, headers)

    def patch(self, path: str, body: Any, *, status: int = 200, **headers: str) -> Any:
        """What a PATCH is answered, with this status."""
        return self._said("PATCH", path, body, status, headers)

    def _said(self, method: str, path: str, body: Any, status: int, headers: dict[str, str]) -> Any:
        answer = self.ask(method, path, body, **headers)
        assert answer.status_code == status, answer.content
        return answer.json()  # type: ignore[attr-defined]


@pytest.fixture
def agent(db: None) -> Agent:
    """A program that may write."""
    return Agent()


def errors(problem: dict[str, Any]) -> set[str]:
    """The fields that a problem document names."""
    return set(problem["errors"])
