"""Tokens: issued once, known by their hash, revoked for good.

A token is 256 random bits, so its plain SHA-256 is as hard to turn back as the token is to guess.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import islice
from typing import Any, TypeVar

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Model, Q
from django.utils import timezone

from apps.runs import journal
from apps.runs.errors import DomainError, NotFound
from apps.runs.models import Namespace
from apps.runs.people import access_columns, know_access

from ..choices import TokenScope
from ..models import ApiToken

PREFIX = "swf_"  # by which scanners for secrets, and people, know one
_BYTES = 32
_USE_NOTED_EVERY = timedelta(minutes=1)
_Row = TypeVar("_Row", bound=Model)


class TokenRefused(Exception):
    """Somebody brought a token that lets nobody in; the text may be shown to them."""


class TokenUnknown(TokenRefused):
    """Nobody was ever given this token."""


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token. `secret` is shown to its holder now, and is known to nobody afterwards."""

    token: ApiToken
    secret: str


@transaction.atomic
def issue_token(
    user: User,
    *,
    by: str,
    name: str,
    scopes: Collection[str] = tuple(TokenScope.values),
    namespace: Namespace | None = None,
    expires_at: datetime | None = None,
) -> IssuedToken:
    """Make a token by which its holder acts as `user`.

    Args:
        by: who issues it; the actor in the journal.
        name: what it is for.
        scopes: what it is good for, of `TokenScope`.
        namespace: the only one it is good for; all without.
        expires_at: when it ends; never without.

    Raises:
        DomainError: `name` or `scopes` are empty, a scope is unknown, or `expires_at` has passed.
    """
    if not name.strip():
        raise DomainError("a token needs a name: what is it for?")
    if unknown := set(scopes) - set(TokenScope.values):
        raise DomainError(
            f"there is no scope {', '.join(sorted(unknown))}; there are {', '.join(TokenScope.values)}"
        )
    if not scopes:
        raise DomainError(f"a token without a scope is good for nothing: {', '.join(TokenScope.values)}")
    now = timezone.now()
    if expires_at is not None and expires_at <= now:
        raise DomainError(f"the token would have expired already, at {expires_at:%Y-%m-%d %H:%M} UTC")
    secret = PREFIX + secrets.token_urlsafe(_BYTES)
    token = ApiToken.objects.create(
        user=user,
        name=name,
        key_hash=_hash(secret),
        scopes=sorted(set(scopes)),
        namespace=namespace,
        created_at=now,
        expires_at=expires_at,
    )
    with journal.on_behalf_of(by):
        journal.record(_change("token_issued", token))
    return IssuedToken(token, secret)


@transaction.atomic
def revoke_tokens(token_ids: Iterable[int], *, by: str) -> int:
    """Let nobody in by these tokens any more; open streams of theirs end too.

    Returns:
        How many this call has revoked; those that were revoked before keep the first name.

    Raises:
        NotFound: a token does not exist. Then none is revoked.
        DomainError: `by` is empty.
    """
    if not by.strip():
        raise DomainError("revoking needs a name (by): it stays with the token")
    ids = set(token_ids)
    tokens = list(
        ApiToken.objects.select_for_update(of=("self",))
        .select_related("user", "namespace")
        .filter(pk__in=ids)
        .order_by("pk")
    )
    if missing := sorted(ids - {token.pk for token in tokens}):
        raise NotFound(f"there is no token {', '.join(map(str, missing))}")
    good = [token for token in tokens if token.revoked_at is None]
    ApiToken.objects.filter(pk__in=[token.pk for token in good]).update(
        revoked_at=timezone.now(), revoked_by=by
    )
    with journal.on_behalf_of(by):
        journal.record_many([_change("token_revoked", token) for token in good])
    return len(good)


def authenticate_token(secret: str) -> ApiToken:
    """The token, with its user and namespace, that this is the secret of. Its use is noted, once a minute at most.

    Raises:
        TokenUnknown: nobody was given it.
        TokenRefused: it is revoked or expired, or its user may not log in.
    """
    token = _token_of(_hash(secret))
    now = timezone.now()
    if token is None:
        raise TokenUnknown("this token is unknown: was it copied as a whole, and issued by this testbed?")
    if token.revoked_at is not None:
        raise TokenRefused("this token was revoked: ask for a new one")
    if token.expires_at is not None and token.expires_at <= now:
        raise TokenRefused(f"this token expired at {token.expires_at:%Y-%m-%d %H:%M} UTC: ask for a new one")
    if not token.user.is_active:
        raise TokenRefused("the user of this token may not log in any more")
    _note_use(token, now)
    return token


def _row_of(model: type[_Row], names: Sequence[str], values: Iterator[Any]) -> _Row:
    """The row out of the next values, one for each of these columns; the others are read if they are asked for."""
    return model.from_db(connection.alias, names, list(islice(values, len(names))))


def _columns(names: Iterable[str], alias: str) -> str:
    return ", ".join(f'{alias}."{name}"' for name in names)


def _in_order(model: type[Model], *names: str) -> list[str]:
    """These columns in the order of the model, in which it takes their values."""
    return [field.attname for field in model._meta.concrete_fields if field.attname in names]


# What letting somebody in looks at.
_TOKEN_COLUMNS = _in_order(
    ApiToken, "id", "user_id", "namespace_id", "scopes", "expires_at", "last_used_at", "revoked_at"
)
_USER_COLUMNS = _in_order(User, "id", "username", "is_superuser", "is_staff", "is_active")
_NAMESPACE_COLUMNS = _in_order(Namespace, "id", "name")

_TOKEN = f"""
SELECT {_columns(_TOKEN_COLUMNS, "token")}, {_columns(_USER_COLUMNS, "holder")}, {_columns(_NAMESPACE_COLUMNS, "space")},
{access_columns("holder.id")}
FROM "{ApiToken._meta.db_table}" AS token JOIN "{User._meta.db_table}" AS holder ON holder.id = token.user_id
LEFT JOIN "{Namespace._meta.db_table}" AS space ON space.id = token.namespace_id WHERE key_hash = %s
"""  # noqa: S608 - own names of tables and columns


def _token_of(key_hash: str) -> ApiToken | None:
    """The token with its user, what that may do, and its namespace. In SQL, since every request by a token asks it: Django
    would take longer to put it than PostgreSQL to answer it."""
    with connection.cursor() as cursor:
        cursor.execute(_TOKEN, [key_hash])
        row = cursor.fetchone()
    if row is None:
        return None
    values = iter(row)
    token, token.user = _row_of(ApiToken, _TOKEN_COLUMNS, values), _row_of(User, _USER_COLUMNS, values)
    space = _row_of(Namespace, _NAMESPACE_COLUMNS, values)
    token.namespace = space if space.pk else None
    know_access(token.user, *values)
    return token


def _note_use(token: ApiToken, now: datetime) -> None:
    late = now - _USE_NOTED_EVERY
    if token.last_used_at is None or token.last_used_at < late:
        unnoted = Q(last_used_at__isnull=True) | Q(last_used_at__lt=late)
        ApiToken.objects.filter(unnoted, pk=token.pk).update(last_used_at=now)


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def _change(kind: str, token: ApiToken) -> journal.Change:
    return journal.Change(
        kind,
        subject=token.user.get_username(),
        namespace=token.namespace,
        payload={
            "token": token.pk,
            "name": token.name,
            "scopes": token.scopes,
            "expires_at": token.expires_at.isoformat() if token.expires_at else None,
        },
    )
