"""Who is let in: by a token, by a session, or without either as long as anybody may read.

One check for REST (`swf_site.api.authentication`), the message stream and the WebSocket.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest, parse_cookie

from .choices import TokenScope
from .models import ApiToken
from .services import TokenRefused, authenticate_token

SCHEMES = ("Token", "Bearer")
# What a client is told to bring with the next request.
CHALLENGE = 'Bearer realm="swf-testbed"'
NOBODY = "log in, or bring a token as `Authorization: Bearer <token>`; manage.py get_token makes one"


class AccessRefused(Exception):
    """Nobody is let in; the text may be shown to whoever asks."""


class NotAllowed(AccessRefused):
    """The token is good, but not for this."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who may read: everything, or what is in the `namespace`; with the id and the end of the token."""

    token_id: int | None = None
    namespace: str = ""
    expires_at: datetime | None = None


def token_in(authorization: str) -> ApiToken | None:
    """The token of an `Authorization` header; None when it has none, but perhaps credentials of another kind.

    Raises:
        TokenRefused: the token lets nobody in.
    """
    scheme, _, secret = authorization.strip().partition(" ")
    if scheme.lower() not in {known.lower() for known in SCHEMES}:
        return None
    if not secret.strip():
        raise TokenRefused(f"the token is missing: Authorization: {scheme} <token>")
    return authenticate_token(secret.strip())


def check_scope(token: ApiToken, scope: TokenScope) -> None:
    """Go on if the token is good for this.

    Raises:
        NotAllowed: it is not.
    """
    if scope not in token.scopes:
        raise NotAllowed(
            f"this token is good for {', '.join(token.scopes)}; this needs the scope {scope.value}"
        )


def reader_of(headers: Iterable[tuple[bytes, bytes]]) -> Reader:
    """Whoever asks over ASGI to read, by the request's headers. It reads the database.

    Raises:
        AccessRefused: nobody is let in; `NotAllowed` when the token has not the scope `read`.
    """
    named: Mapping[bytes, bytes] = dict(headers)
    try:
        token = token_in(named.get(b"authorization", b"").decode("latin1"))
    except TokenRefused as refusal:
        raise AccessRefused(str(refusal)) from refusal
    if token is not None:
        check_scope(token, TokenScope.READ)
        return Reader(token.pk, token.namespace.name if token.namespace else "", token.expires_at)
    if settings.SWF_ANONYMOUS_READ or _has_session(named.get(b"cookie", b"").decode("latin1")):
        return Reader()
    raise AccessRefused(NOBODY)


def _has_session(cookies: str) -> bool:
    key = parse_cookie(cookies).get(settings.SESSION_COOKIE_NAME)
    if not key:
        return False
    request: Any = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    user = get_user(request)
    return user.is_authenticated and user.is_active
