"""Reads of users' roles and namespaces, as `access` takes them."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group, User
from django.db import connection
from django.db.models import QuerySet

from .access import EVERYWHERE, Person, Role
from .models import Membership, Namespace

_KNOWN = "_access_known"


def access_columns(user: str) -> str:
    """SQL for the two columns that `know_access` takes, of the user whose id this SQL is. In SQL, since every request by a
    user or token asks it: Django would take longer to put it than PostgreSQL to answer it."""
    return f"""
ARRAY(SELECT held.name FROM "{Group._meta.db_table}" AS held
JOIN "{User.groups.through._meta.db_table}" AS given ON given.group_id = held.id WHERE given.user_id = {user}),
ARRAY(SELECT coalesce(place.name, '{EVERYWHERE}') FROM "{Membership._meta.db_table}" AS member
LEFT JOIN "{Namespace._meta.db_table}" AS place ON place.id = member.namespace_id WHERE member.user_id = {user})
"""  # noqa: S608 - own table names


def know_access(user: User, groups: Iterable[str], namespaces: Iterable[str]) -> None:
    """Let a user that is read for this moment know its groups and namespaces: they will not be asked for."""
    vars(user)[_KNOWN] = _access(user, groups, namespaces)


def person_of(
    user: AbstractBaseUser | AnonymousUser, *, scopes: frozenset[str] | None = None, within: str = ""
) -> Person:
    """Who this user is, by a token that is good for these scopes and this namespace only."""
    if not isinstance(user, User) or not user.is_active:
        return Person(anybody_reads=settings.SWF_ANONYMOUS_READ)
    roles, namespaces = _access_of(user)
    return Person(
        name=user.get_username(),
        roles=roles,
        namespaces=namespaces,
        scopes=scopes,
        within=within,
        anybody_reads=settings.SWF_ANONYMOUS_READ,
    )


def roles_of(user: User) -> frozenset[Role]:
    """The roles of a user: its groups of such a name; a superuser is an admin."""
    return _access_of(user)[0]


def namespaces_of(user: User) -> frozenset[str]:
    """The namespaces in which a user acts, as it is a member of them; `*` for all."""
    return _access_of(user)[1]


def people() -> QuerySet[User]:
    """All users by name."""
    return User.objects.order_by("username")


def is_admin(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Whether the user may do everything."""
    return isinstance(user, User) and user.is_active and Role.ADMIN in roles_of(user)


def _access_of(user: User) -> tuple[frozenset[Role], frozenset[str]]:
    """Roles and namespaces: those that came with the user, or else in one query."""
    known: tuple[frozenset[Role], frozenset[str]] | None = vars(user).get(_KNOWN)
    if known is not None:
        return known
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {access_columns('%(user)s')}", {"user": user.pk})
        return _access(user, *cursor.fetchone())


def _access(
    user: User, groups: Iterable[str], namespaces: Iterable[str]
) -> tuple[frozenset[Role], frozenset[str]]:
    roles = {Role.ADMIN} if user.is_superuser else {Role(name) for name in groups if name in Role.values}
    return frozenset(roles), frozenset(namespaces)
