"""Reads of users' roles and namespaces, as `access` takes them."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group, User
from django.db.models import QuerySet, Value
from django.db.models.functions import Coalesce

from .access import EVERYWHERE, Person, Role
from .models import Membership

_ROLE, _SPACE = "role", "namespace"


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
    """Roles and namespaces, in one query: every request by a user or token needs them."""
    groups = Group.objects.filter(user=user).annotate(what=Value(_ROLE)).values_list("what", "name")
    spaces = Membership.objects.filter(user=user).annotate(
        what=Value(_SPACE), where=Coalesce("namespace__name", Value(EVERYWHERE))
    )
    rows = list(groups.order_by().union(spaces.order_by().values_list("what", "where"), all=True))
    roles = {Role(name) for what, name in rows if what == _ROLE and name in Role.values}
    if user.is_superuser:
        roles = {Role.ADMIN}
    return frozenset(roles), frozenset(name for what, name in rows if what == _SPACE)
