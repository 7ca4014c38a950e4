"""Roles and namespaces are given by name, and the journal says by whom."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command, load_command_class
from django.db import IntegrityError, transaction
from django.test import Client

from apps.runs.access import Role
from apps.runs.errors import DomainError
from apps.runs.models import JournalEntry, Membership, Namespace
from apps.runs.people import namespaces_of, person_of, roles_of
from apps.runs.services import set_access
from tests.people import a_user
from tests.queries import count_queries

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann() -> User:
    Namespace.objects.create(name="day")
    Namespace.objects.create(name="night")
    return User.objects.create_user("ann")


def access_of(user: User) -> tuple[set[str], set[str]]:
    """The roles and namespaces in the database."""
    user = User.objects.get(pk=user.pk)
    return set(roles_of(user)), set(namespaces_of(user))


def test_a_user_has_exactly_what_was_given_last(ann: User) -> None:
    other = Group.objects.create(name="physicists")
    ann.groups.add(other)

    assert set_access(ann, by="eve", roles=["viewer", "operator"], namespaces=["day", "*"])
    assert set_access(ann, by="eve", roles=["operator"], namespaces=["night"])
    assert not set_access(ann, by="eve", roles=["operator"], namespaces=["night"])

    assert access_of(ann) == ({"operator"}, {"night"})
    assert other in ann.groups.all()
    last = JournalEntry.objects.filter(kind="access_changed").order_by("pk").last()
    assert last
    assert (last.actor, last.subject, last.payload["namespaces"]) == ("eve", "ann", ["night"])
    assert last.payload["before"] == {"roles": ["operator", "viewer"], "namespaces": ["*", "day"]}
    assert JournalEntry.objects.filter(kind="access_changed").count() == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"roles": ["boss"]}, "no role boss; there are viewer"),
        ({"namespaces": ["dusk"]}, "no namespace dusk; there are: day, night"),
        ({"by": " "}, "needs a name"),
    ],
)
def test_what_is_not_there_is_refused_and_nothing_changes(
    ann: User, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(DomainError, match=words):
        set_access(ann, **{"by": "eve", "roles": ["viewer"], "namespaces": ["day"], **changes})

    assert access_of(ann) == (set(), set())


def test_a_membership_is_once(ann: User) -> None:
    Membership.objects.create(user=ann)

    with pytest.raises(IntegrityError), transaction.atomic():
        Membership.objects.create(user=ann)


def test_who_may_not_log_in_is_nobody(ann: User) -> None:
    ann.is_active = False

    assert person_of(ann).name == ""


def test_who_somebody_is_takes_one_query(ann: User) -> None:
    set_access(ann, by="eve", roles=["operator", "viewer"], namespaces=["day", "night"])

    assert count_queries(lambda: person_of(ann)) == 1
    assert person_of(ann).namespaces == {"day", "night"}


def test_a_superuser_is_an_admin() -> None:
    assert roles_of(User.objects.create_superuser("root")) == {Role.ADMIN}


def called(*words: str) -> str:
    """What the command writes."""
    out = StringIO()
    call_command("access", *words, stdout=out)
    return out.getvalue()


def test_in_a_new_testbed_access_can_be_given_at_once(settings: Any) -> None:
    User.objects.create_user("ann")
    settings.SWF_NAMESPACE, settings.SWF_NAMESPACES = "here", ["there", "here"]
    for _ in range(2):
        call_command("prepare_database", stdout=StringIO())

    assert called("ann", "--role", "operator", "--namespace", "here") == "ann: operator; acts in here\n"
    made = JournalEntry.objects.filter(kind="namespace_created").values_list("subject", flat=True)
    assert sorted(made) == ["here", "there"]


@pytest.mark.parametrize("command", ["access", "get_token", "start_run", "dead_letters"])
def test_examples_in_the_help_have_lines_of_their_own(command: str) -> None:
    parser = load_command_class("apps.agents" if command != "access" else "apps.runs", command).create_parser(
        "manage.py", command
    )

    examples = [line for line in parser.format_help().splitlines() if f" {command} " in line]
    assert len(examples) > 3


def test_the_command_gives_and_shows_access(ann: User) -> None:
    User.objects.create_superuser("root")

    assert called("ann", "--role", "operator", "--namespace", "day") == "ann: operator; acts in day\n"
    assert called("ann", "--role", "agent", "--namespace", "*") == "ann: agent; acts in *\n"
    assert called() == "ann: agent; acts in *\nroot: admin; acts in *\n"
    assert called("ann", "--nothing") == "ann: no role; acts in no namespace\n"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["bob"], "no user 'bob'"),
        (["ann", "--namespace", "dusk"], "no namespace dusk"),
        (["ann", "--role", "viewer", "--nothing"], "--nothing goes with neither"),
    ],
)
def test_the_command_says_what_is_wrong(ann: User, words: list[str], reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        called(*words)


def test_the_admin_gives_access_and_the_journal_says_so(ann: User, client: Client) -> None:
    client.force_login(a_user("eve", "admin"))
    operator, _ = Group.objects.get_or_create(name="operator")
    inline = {"INITIAL_FORMS": 0, "MIN_NUM_FORMS": 0, "MAX_NUM_FORMS": 1000}
    form: dict[str, Any] = {
        "username": "ann",
        "is_active": "on",
        "groups": [operator.pk],
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
        **{f"memberships-{name}": value for name, value in inline.items()},
        "memberships-TOTAL_FORMS": 1,
        "memberships-0-namespace": Namespace.objects.get(name="day").pk,
        "memberships-0-user": ann.pk,
        **{f"identities-{name}": value for name, value in inline.items()},
        "identities-TOTAL_FORMS": 0,
    }

    answer = client.post(f"/admin/auth/user/{ann.pk}/change/", form)

    assert answer.status_code == 302, answer.content.decode()
    assert access_of(ann) == ({"operator"}, {"day"})
    entry = JournalEntry.objects.get(kind="access_changed")
    assert (entry.actor, entry.payload) == ("eve", {"roles": ["operator"], "namespaces": ["day"]})
