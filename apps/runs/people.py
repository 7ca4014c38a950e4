"""Reads of users' roles and namespaces, as `access` takes them."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group, User
from django.db import connection
from django.db.models import QuerySet

from .access import EVERYWHERE, Person, Role
from .models import Membership, Namespace

# In SQL, since every request by a user or token asks it: Django would take longer to put it than PostgreSQL to answer it.
_ACCESS = f"""
SELECT false, held.name FROM "{Group._meta.db_table}" AS held
JOIN "{User.groups.through._meta.db_table}" AS given ON given.group_id = held.id WHERE given.user_id = %(user)s
UNION ALL
SELECT true, coalesce(place.name, %(everywhere)s) FROM "{Membership._meta.db_table}" AS member
LEFT JOIN "{Namespace._meta.db_table}" AS place ON place.id = member.namespace_id WHERE member.user_id = %(user)s
"""  # noqa: S608 - own table names


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
    """Roles and namespaces, in one query."""
    with connection.cursor() as cursor:
        cursor.execute(_ACCESS, {"user": user.pk, "everywhere": EVERYWHERE})
        rows = cursor.fetchall()
    roles = {Role(name) for is_place, name in rows if not is_place and name in Role.values}
    if user.is_superuser:
        roles = {Role.ADMIN}
    return frozenset(roles), frozenset(name for is_place, name in rows if is_place)
