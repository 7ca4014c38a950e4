"""Users with roles and namespaces."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, User

from apps.runs.models import Membership, Namespace


def a_user(name: str, *roles: str, within: str = "*", **fields: Any) -> User:
    """A user with these roles, who acts in one namespace, or in all (`*`), or in none (empty)."""
    user = User.objects.create_user(name, **fields)
    user.groups.set(Group.objects.get_or_create(name=role)[0] for role in roles)
    if within == "*":
        Membership.objects.create(user=user, namespace=None)
    elif within:
        Membership.objects.create(user=user, namespace=Namespace.objects.get_or_create(name=within)[0])
    return user
