"""Who asks over REST: by a token or a password, beside Django's sessions."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from rest_framework.authentication import BaseAuthentication, BasicAuthentication
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from apps.agents.access import CHALLENGE, address_of, holder_of, token_in
from apps.agents.models import ApiToken
from apps.agents.services import TokenRefused, TooManyGuesses
from apps.runs.access import Person
from apps.runs.people import person_of


class Waits(Throttled):
    """Too many were wrong. The text says itself how long to wait, and `Retry-After` says it too."""

    def __init__(self, refusal: TooManyGuesses) -> None:
        super().__init__(detail=str(refusal))
        self.wait = refusal.wait


class ByToken(BaseAuthentication):
    """`Authorization: Token <token>` or `Bearer <token>`: the user of the token. What it is good for, permissions say."""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, ApiToken] | None:
        """The user and the token; None when there is no token.

        Raises:
            AuthenticationFailed: the token lets nobody in.
            Waits: nor does it, after too many others.
        """
        meta = request.META
        address = address_of(meta.get("REMOTE_ADDR", ""), meta.get("HTTP_X_FORWARDED_FOR", ""))
        try:
            token = token_in(meta.get("HTTP_AUTHORIZATION", ""), address=address)
        except TokenRefused as refusal:
            raise AuthenticationFailed(str(refusal)) from refusal
        except TooManyGuesses as refusal:
            raise Waits(refusal) from refusal
        return (token.user, token) if token else None

    def authenticate_header(self, request: Request) -> str:
        """What a client is told to bring."""
        return CHALLENGE


class ByPassword(BasicAuthentication):
    """HTTP's basic authentication. `swf_site.backends` counts what is wrong."""

    def authenticate_credentials(
        self, userid: str, password: str, request: Any = None
    ) -> tuple[AbstractBaseUser, None]:
        """The user.

        Raises:
            AuthenticationFailed: name or password are wrong.
            Waits: they are not tried, after too many others.
        """
        try:
            return super().authenticate_credentials(userid, password, request)
        except TooManyGuesses as refusal:
            raise Waits(refusal) from refusal


def asker(request: Request) -> Person:
    """Who asks, as far as its token goes if it came by one."""
    if isinstance(request.auth, ApiToken):
        return holder_of(request.auth)
    return person_of(request.user)
