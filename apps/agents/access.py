"""Who is let in: by a token, by a session, or without either as long as anybody may read.

For REST (`swf_site.api`), the message stream and the WebSocket; `apps.runs.access` decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import HttpRequest, parse_cookie

from apps.runs.access import Person, Right, refusal
from apps.runs.people import person_of

from .models import ApiToken
from .services import TokenRefused, TokenUnknown, TooManyGuesses, authenticate_token, note_unknown_token

SCHEMES = ("Token", "Bearer")
# What a client is told to bring with the next request.
CHALLENGE = 'Bearer realm="swf-testbed"'


class AccessRefused(Exception):
    """Nobody is let in; the text may be shown to whoever asks."""


class NotAllowed(AccessRefused):
    """It is known who asks, but whoever it is may not."""


class NotNow(AccessRefused):
    """Too many tokens were wrong; the next one is looked at after `wait` seconds."""

    def __init__(self, said: str, wait: int) -> None:
        super().__init__(said)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who may read: everything, or what is in the `namespace`; with the id and the end of the token.

    Without a `name`, anybody may.
    """

    name: str = ""
    token_id: int | None = None
    namespace: str = ""
    expires_at: datetime | None = None


def address_of(peer: str, forwarded: str) -> str:
    """Where a request comes from.

    Args:
        peer: who has opened the connection; in production, the proxy.
        forwarded: the header `X-Forwarded-For`. Only what a proxy has added to it, last, is believed.
    """
    added = forwarded.rpartition(",")[2].strip() if settings.SWF_PRODUCTION else ""
    return added or peer


def token_in(authorization: str, *, address: str) -> ApiToken | None:
    """The token of an `Authorization` header; None when it has none, but perhaps credentials of another kind.

    Args:
        address: where it comes from, as `address_of` says it.

    Raises:
        TokenRefused: the token lets nobody in.
        TooManyGuesses: nor does it, and too many unknown ones have come from there.
    """
    scheme, _, secret = authorization.strip().partition(" ")
    if scheme.lower() not in {known.lower() for known in SCHEMES}:
        return None
    if not secret.strip():
        raise TokenRefused(f"the token is missing: Authorization: {scheme} <token>")
    try:
        return authenticate_token(secret.strip())
    except TokenUnknown:
        note_unknown_token(address)
        raise


def holder_of(token: ApiToken) -> Person:
    """Who comes by this token, as far as the token goes."""
    within = token.namespace.name if token.namespace else ""
    return person_of(token.user, scopes=frozenset(token.scopes), within=within)


def reader_of(scope: Mapping[str, Any]) -> Reader:
    """Whoever asks over ASGI to read, by the request's scope. It reads the database.

    Raises:
        AccessRefused: nobody is let in; `NotAllowed` when it is known who asks, but not allowed, `NotNow` after many wrong
            tokens.
    """
    named = {name.decode("latin1"): value.decode("latin1") for name, value in scope["headers"]}
    peer, _ = scope.get("client") or ("", 0)
    address = address_of(peer, named.get("x-forwarded-for", ""))
    try:
        token = token_in(named.get("authorization", ""), address=address)
    except TokenRefused as error:
        raise AccessRefused(str(error)) from error
    except TooManyGuesses as error:
        raise NotNow(str(error), error.wait) from error
    person = holder_of(token) if token else person_of(_user_of(named.get("cookie", "")))
    if said := refusal(person, Right.READ):
        raise NotAllowed(said) if person.name else AccessRefused(said)
    if token is None:
        return Reader(person.name)
    return Reader(person.name, token.pk, person.within, token.expires_at)


def _user_of(cookies: str) -> AbstractBaseUser | AnonymousUser:
    """Who has the session of these cookies."""
    key = parse_cookie(cookies).get(settings.SESSION_COOKIE_NAME)
    if not key:
        return AnonymousUser()
    request: Any = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    return get_user(request)
