"""Who sends a request: bearer tokens, checked as PanDA checks them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jwt

from services.panda.settings import PRODUCTION, VO
from services.panda.tokens import Authority

# A name that contains one of these has the production role.
PRODUCTION_NAMES = ("Pilot", "Robot")


@dataclass(frozen=True)
class Caller:
    """The sender of a request; without a token `known` is false and the name empty."""

    name: str = ""
    known: bool = False
    production: bool = False


class TokenRefused(Exception):
    """The token is not accepted; the text says why, in PanDA's words."""


def authenticate(headers: Mapping[str, str], authority: Authority) -> Caller:
    """The sender of a request with these headers (lower-case names).

    Raises:
        TokenRefused: there is a token, and it is not accepted.
    """
    words = headers.get("authorization", "").split()
    if len(words) < 2:
        return Caller()
    origin = headers.get("origin", "")
    vo, _, role = origin.replace(":", ".").partition(".")
    try:
        claims = authority.verify(words[1])
    except jwt.InvalidTokenError as error:
        raise TokenRefused(f"Invalid token. {error}") from error
    if vo != VO:
        raise TokenRefused(f"Unknown vo : {vo}")
    group = f"{vo}/{role}" if role else vo
    if group not in claims.get("groups", []):
        raise TokenRefused(f"Not a member of the {group} group")
    name = capitalized(str(claims.get("name") or claims.get("sub") or ""))
    named = any(word in name for word in PRODUCTION_NAMES)
    return Caller(name=name, known=True, production=named or f"{vo}.{role}" == PRODUCTION)


def capitalized(name: str) -> str:
    """The name as PanDA keeps it: each word with a capital first letter, the rest small."""
    return " ".join(word[:1].upper() + word[1:].lower() for word in name.split())
