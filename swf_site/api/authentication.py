"""Who asks over REST: by a token, beside Django's own ways."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from apps.agents.access import CHALLENGE, holder_of, token_in
from apps.agents.models import ApiToken
from apps.agents.services import TokenRefused
from apps.runs.access import Person
from apps.runs.people import person_of


class ByToken(BaseAuthentication):
    """`Authorization: Token <token>` or `Bearer <token>`: the user of the token. What it is good for, permissions say."""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, ApiToken] | None:
        """The user and the token; None when there is no token.

        Raises:
            AuthenticationFailed: the token lets nobody in.
        """
        try:
            token = token_in(request.META.get("HTTP_AUTHORIZATION", ""))
        except TokenRefused as refusal:
            raise AuthenticationFailed(str(refusal)) from refusal
        return (token.user, token) if token else None

    def authenticate_header(self, request: Request) -> str:
        """What a client is told to bring."""
        return CHALLENGE


def asker(request: Request) -> Person:
    """Who asks, as far as its token goes if it came by one."""
    if isinstance(request.auth, ApiToken):
        return holder_of(request.auth)
    return person_of(request.user)
