"""Who may do what. It is decided here and nowhere else, from what is given: nothing is read, nothing written.

A role gives rights; to act, a person also needs the namespace of what is acted on. Reading is not kept to namespaces,
but for holders of a token that is bound to one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from django.db.models import TextChoices

# In place of a namespace's name: all of them, and what belongs to none.
EVERYWHERE = "*"
# The namespace of what belongs to none: sites, the brake of all runs, agents, parked messages.
NO_NAMESPACE = ""
NOBODY = "log in, or bring a token as `Authorization: Bearer <token>`; manage.py get_token makes one"


class Right(TextChoices):
    """What a request needs."""

    READ = "read", "reads"
    REPORT = "report", "writes what agents write"
    OPERATE = "operate", "acts on runs and processing"
    ADMINISTER = "administer", "changes users, tokens and namespaces"


class Role(TextChoices):
    """What a person or agent is; the name of a group of users. In order: each includes those before it."""

    VIEWER = "viewer", "Viewer"
    AGENT = "agent", "Agent"
    OPERATOR = "operator", "Operator"
    ADMIN = "admin", "Admin"


RIGHTS: Mapping[Role, frozenset[Right]] = {
    Role.VIEWER: frozenset({Right.READ}),
    Role.AGENT: frozenset({Right.READ, Right.REPORT}),
    Role.OPERATOR: frozenset({Right.READ, Right.REPORT, Right.OPERATE}),
    Role.ADMIN: frozenset(Right),
}


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks. Without a `name`, nobody has said so.

    `namespaces` are those in which it acts (`*`: all). `scopes` and `within` are what the token is good for that it came
    by: all scopes and namespaces if they are None and empty.
    """

    name: str = ""
    roles: frozenset[Role] = frozenset()
    namespaces: frozenset[str] = frozenset()
    scopes: frozenset[str] | None = None
    within: str = ""
    anybody_reads: bool = False

    @property
    def rights(self) -> frozenset[Right]:
        """What its roles allow, in some namespace."""
        own = frozenset[Right]().union(*(RIGHTS[role] for role in self.roles))
        return own | {Right.READ} if self.anybody_reads else own


def refusal(person: Person, right: Right, places: Iterable[str] = ()) -> str:
    """Why this person may not do this, in words for it; empty if it may.

    Args:
        places: the namespaces of what is read or acted on, `NO_NAMESPACE` for what belongs to none. None are given where
            what is read is kept to the namespace of the token by other means. They are not asked for where they do not
            matter.
    """
    if person.scopes is not None and (scope := scope_of(right)) not in person.scopes:
        good_for = ", ".join(sorted(person.scopes))
        return f"this token is good for {good_for}; this needs the scope {scope}"
    if right not in person.rights:
        return _no_right(person, right)
    may_everywhere = right == Right.READ or Role.ADMIN in person.roles or EVERYWHERE in person.namespaces
    if may_everywhere and not person.within:
        return ""
    wanted = set(places)
    # Heartbeats and logs belong to no namespace: who works in one sends them too.
    own = {person.within, NO_NAMESPACE} if right == Right.REPORT else {person.within}
    if person.within and wanted - own:
        return f"this token is good for the namespace {person.within} only; this is of another, or of none"
    if may_everywhere:
        return ""
    return _no_place(person, right, wanted - person.namespaces)


def open_to(person: Person) -> frozenset[str] | None:
    """The namespaces in which this person acts, as far as its token goes; None for all."""
    everywhere = Role.ADMIN in person.roles or EVERYWHERE in person.namespaces
    if not person.within:
        return None if everywhere else person.namespaces
    within = frozenset({person.within})
    return within if everywhere else within & person.namespaces


def scope_of(right: Right) -> str:
    """Which scope a token needs for this right."""
    return "read" if right == Right.READ else "write"


def _no_right(person: Person, right: Right) -> str:
    if not person.name:
        return NOBODY
    needed = next(role for role in Role if right in RIGHTS[role])
    has = " and ".join(sorted(person.roles)) or "no role"
    return f"this needs the role {needed.value}; {person.name} has {has}: ask an admin of the testbed"


def _no_place(person: Person, right: Right, missing: Collection[str]) -> str:
    if NO_NAMESPACE in missing:
        if right == Right.REPORT and person.namespaces:
            missing = set(missing) - {NO_NAMESPACE}
        else:
            return f"this concerns all namespaces; {person.name} acts in {_acts_in(person)}"
    if not missing:
        return ""
    return f"this is of the namespace {min(missing)}; {person.name} acts in {_acts_in(person)}"


def _acts_in(person: Person) -> str:
    return ", ".join(sorted(person.namespaces)) or "none: ask an admin of the testbed"
