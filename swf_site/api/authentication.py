"""Who asks over REST: by a token, beside Django's own ways; and that nobody does where only somebody may read."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, PermissionDenied
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from apps.agents.access import CHALLENGE, NOBODY, NotAllowed, check_scope, token_in
from apps.agents.choices import TokenScope
from apps.agents.models import ApiToken
from apps.agents.services import TokenRefused

from .namespaces import check_view


class ByToken(BaseAuthentication):
    """`Authorization: Token <token>` or `Bearer <token>`: the user of the token, as far as the token goes.

    It says here already what the token is not good for, since views choose their permissions themselves.
    """

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, ApiToken] | None:
        """The user and the token; None when there is no token.

        Raises:
            AuthenticationFailed: the token lets nobody in.
            PermissionDenied: it is not good for this method, or not for this address.
        """
        try:
            token = token_in(request.META.get("HTTP_AUTHORIZATION", ""))
            if token is None:
                return None
            check_scope(token, TokenScope.READ if request.method in SAFE_METHODS else TokenScope.WRITE)
            check_view(request, token)
        except TokenRefused as refusal:
            raise AuthenticationFailed(str(refusal)) from refusal
        except NotAllowed as refusal:
            raise PermissionDenied(str(refusal)) from refusal
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        """What a client is told to bring."""
        return CHALLENGE


class Nobody(BaseAuthentication):
    """The last way: nobody has said who asks. Where only somebody may read, that is an error, whatever the view allows."""

    def authenticate(self, request: Request) -> None:
        """Nobody.

        Raises:
            NotAuthenticated: anonymous reading is off.
        """
        if not settings.SWF_ANONYMOUS_READ:
            raise NotAuthenticated(NOBODY)
