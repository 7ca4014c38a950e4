"""Users' roles and namespaces, and which user an identity provider means. The journal says who has changed them."""

from __future__ import annotations

from collections.abc import Collection

from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db import transaction

from .. import journal
from ..access import EVERYWHERE, Role
from ..errors import DomainError
from ..models import Identity, Membership, Namespace
from ..people import namespaces_of, roles_of


@transaction.atomic
def set_access(user: User, *, by: str, roles: Collection[str], namespaces: Collection[str]) -> bool:
    """Give a user exactly these roles, and have it act in exactly these namespaces (`*`: in all).

    Groups that are no role stay as they are.

    Returns:
        Whether this has changed anything.

    Raises:
        DomainError: there is no such role or namespace, or `by` is empty.
    """
    if not by.strip():
        raise DomainError("giving access needs a name (by): it stays in the journal")
    if unknown := sorted(set(roles) - set(Role.values)):
        raise DomainError(f"there is no role {', '.join(unknown)}; there are {', '.join(Role.values)}")
    chosen = _spaces(namespaces)
    # Of two who change the same user, the second sees what the first has done.
    user = User.objects.select_for_update(of=("self",)).get(pk=user.pk)
    before = _access(user)
    user.groups.remove(*user.groups.filter(name__in=set(Role.values) - set(roles)))
    user.groups.add(*(Group.objects.get_or_create(name=role)[0] for role in roles))
    Membership.objects.filter(user=user).exclude(
        pk__in=[_membership(user, space).pk for space in chosen]
    ).delete()
    return _record(user, before, by=by)


@transaction.atomic
def note_access(user: User, *, by: str) -> None:
    """Write into the journal what the admin has saved of a user's roles and namespaces. Belongs into its transaction."""
    with journal.on_behalf_of(by):
        journal.record(journal.Change("access_changed", subject=user.get_username(), payload=_access(user)))


@transaction.atomic
def user_of_identity(*, issuer: str, subject: str, name: str) -> User:
    """The user that the identity provider means; made when it comes for the first time, without a password or a role.

    Raises:
        DomainError: the name belongs to another user or can be none, or the user may not log in.
    """
    known = Identity.objects.select_related("user").filter(issuer=issuer, subject=subject).first()
    if known is None:
        known = _introduced(issuer, subject, name)
    if not known.user.is_active:
        raise DomainError(f"the user {known.user} may not log in any more")
    return known.user


def _introduced(issuer: str, subject: str, name: str) -> Identity:
    try:
        User.username_validator(name)
    except ValidationError as error:
        raise DomainError(f"{name!r} cannot be the name of a user: {error.messages[0]}") from error
    user, created = User.objects.get_or_create(username=name)
    if not created:
        raise DomainError(
            f"there is a user {name} already, who has not come from {issuer} before: "
            "an admin of the testbed can add this identity to it"
        )
    user.set_unusable_password()
    user.save(update_fields=["password"])
    identity = Identity.objects.create(user=user, issuer=issuer, subject=subject)
    with journal.on_behalf_of(name):
        journal.record(journal.Change("user_introduced", subject=name, payload={"issuer": issuer}))
    return identity


def _spaces(names: Collection[str]) -> list[Namespace | None]:
    spaces = {space.name: space for space in Namespace.objects.filter(name__in=names)}
    if unknown := sorted(set(names) - set(spaces) - {EVERYWHERE}):
        known = (
            ", ".join(Namespace.objects.values_list("name", flat=True))
            or "none yet: the first start makes one"
        )
        raise DomainError(f"there is no namespace {', '.join(unknown)}; there are: {known}; and * for all")
    return [*spaces.values(), *([None] if EVERYWHERE in names else [])]


def _membership(user: User, space: Namespace | None) -> Membership:
    return Membership.objects.get_or_create(user=user, namespace=space)[0]


def _access(user: User) -> dict[str, list[str]]:
    return {"roles": sorted(roles_of(user)), "namespaces": sorted(namespaces_of(user))}


def _record(user: User, before: dict[str, list[str]], *, by: str) -> bool:
    after = _access(user)
    if after == before:
        return False
    with journal.on_behalf_of(by):
        payload = {**after, "before": before}
        journal.record(journal.Change("access_changed", subject=user.get_username(), payload=payload))
    return True
