"""Tokens: shown once, kept as a hash, good until they end; the journal says who issued and revoked them."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from apps.agents import services
from apps.agents.models import ApiToken
from apps.agents.services import TokenRefused, authenticate_token, issue_token, revoke_tokens
from apps.runs.errors import DomainError, NotFound
from apps.runs.models import JournalEntry, Namespace
from tests.people import a_user
from tests.queries import count_queries

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann")


def issued(user: User, **changes: Any) -> services.IssuedToken:
    """A token for tests."""
    return issue_token(user, **{"by": "tester", "name": "for tests", **changes})


def test_a_token_lets_its_user_in_and_is_nowhere_in_the_database(ann: User) -> None:
    one, other = issued(ann), issued(ann)

    assert authenticate_token(one.secret).user == ann
    assert one.secret != other.secret
    assert len(one.secret) >= len("swf_") + 43  # 256 bits in base64
    stored = [*ApiToken.objects.values_list(), *JournalEntry.objects.values_list()]
    assert not [row for row in stored for value in row if one.secret.removeprefix("swf_") in str(value)]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda token: token.delete(), "unknown"),
        (lambda token: revoke_tokens([token.pk], by="bob"), "revoked"),
        (lambda token: User.objects.filter(pk=token.user_id).update(is_active=False), "may not log in"),
    ],
)
def test_a_token_that_is_not_good_says_why(ann: User, spoil: Any, words: str) -> None:
    new = issued(ann)
    spoil(new.token)

    with pytest.raises(TokenRefused, match=words):
        authenticate_token(new.secret)


def test_a_token_ends_when_it_expires(ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    end = timezone.now() + timedelta(hours=1)
    new = issued(ann, expires_at=end)
    authenticate_token(new.secret)

    monkeypatch.setattr("apps.agents.services.tokens.timezone.now", lambda: end)

    with pytest.raises(TokenRefused, match="expired"):
        authenticate_token(new.secret)


@pytest.mark.parametrize("secret", ["", "swf_", "x" * 100_000, "\x00", "é"])
def test_nonsense_is_an_unknown_token(secret: str) -> None:
    with pytest.raises(TokenRefused, match="unknown"):
        authenticate_token(secret)


def test_its_use_is_noted_once_a_minute(ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    new = issued(ann)
    authenticate_token(new.secret)
    first = ApiToken.objects.get().last_used_at
    assert first

    assert count_queries(lambda: authenticate_token(new.secret)) == 1
    monkeypatch.setattr("apps.agents.services.tokens.timezone.now", lambda: first + timedelta(seconds=61))
    authenticate_token(new.secret)

    assert ApiToken.objects.get().last_used_at == first + timedelta(seconds=61)


def test_a_token_is_revoked_once_and_the_journal_says_who_did_what(ann: User) -> None:
    token = issued(ann, name="plots").token

    assert [revoke_tokens([token.pk], by="bob"), revoke_tokens([token.pk], by="eve")] == [1, 0]

    token.refresh_from_db()
    assert token.revoked_by == "bob"
    entries = JournalEntry.objects.order_by("pk")
    assert [(entry.kind, entry.actor, entry.subject) for entry in entries] == [
        ("token_issued", "tester", "ann"),
        ("token_revoked", "bob", "ann"),
    ]
    assert {entry.payload["token"] for entry in entries} == {token.pk}


def test_revoking_a_token_that_is_not_there_revokes_none(ann: User) -> None:
    token = issued(ann).token

    with pytest.raises(NotFound, match=str(token.pk + 1)):
        revoke_tokens([token.pk, token.pk + 1], by="bob")
    with pytest.raises(DomainError, match="name"):
        revoke_tokens([token.pk], by=" ")

    assert ApiToken.objects.get().revoked_at is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": " "}, "name"),
        ({"scopes": []}, "scope"),
        ({"scopes": ["read", "fly"]}, "fly"),
        ({"expires_at": timezone.now() - timedelta(days=1)}, "expired"),
    ],
)
def test_what_makes_no_token_is_refused(ann: User, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DomainError, match=words):
        issued(ann, **changes)

    assert not ApiToken.objects.exists()


@pytest.mark.parametrize("change", [{"scopes": []}, {"scopes": ["fly"]}, {"name": ""}, {"revoked_by": "bob"}])
def test_the_database_keeps_tokens_whole(ann: User, change: dict[str, Any]) -> None:
    issued(ann)

    with pytest.raises(IntegrityError), transaction.atomic():
        ApiToken.objects.update(**change)


def called(*words: str) -> tuple[str, str]:
    """What the command writes to its two outputs."""
    out, err = StringIO(), StringIO()
    call_command("get_token", *words, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_the_command_prints_the_token_alone(ann: User) -> None:
    out, err = called("ann")

    token = authenticate_token(out.strip())
    assert out == out.strip() + "\n"
    assert "not shown again" in err
    assert (token.user, sorted(token.scopes), token.namespace, token.expires_at) == (
        ann,
        ["read", "write"],
        None,
        None,
    )


def test_the_command_takes_what_a_token_is_good_for(ann: User) -> None:
    namespace = Namespace.objects.create(name="night")

    out, _ = called(
        "ann", "--name", "plots", "--scope", "read", "--namespace", "night", "--expires", "2999-01-31T12:00Z"
    )

    token = authenticate_token(out.strip())
    assert (token.name, token.scopes, token.namespace) == ("plots", ["read"], namespace)
    assert token.expires_at
    assert token.expires_at.isoformat() == "2999-01-31T12:00:00+00:00"


def test_the_command_makes_a_user_when_asked() -> None:
    out, err = called("plotter", "--create-user")
    user = authenticate_token(out.strip()).user
    assert "plotter has no role yet" in err

    assert (user.username, user.has_usable_password(), user.is_staff) == ("plotter", False, False)
    assert authenticate_token(called("plotter", "--create-user")[0].strip()).user == user


@pytest.mark.parametrize(("text", "span"), [("2d", timedelta(days=2)), ("90m", timedelta(minutes=90))])
def test_the_command_takes_a_span(ann: User, text: str, span: timedelta) -> None:
    before = timezone.now()

    token = authenticate_token(called("ann", "--expires", text)[0].strip())

    assert token.expires_at
    assert before + span <= token.expires_at <= timezone.now() + span


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["bob"], "no user 'bob'"),
        (["ann", "--namespace", "day"], "no namespace 'day'"),
        (["ann", "--expires", "soon"], "'soon' is no time"),
        (["ann", "--expires", "2027-02-31"], "is no time"),
        (["ann", "--expires", "2001-01-01"], "expired already"),
        (["ann", "--name", ""], "needs a name"),
    ],
)
def test_the_command_says_what_is_wrong(ann: User, words: list[str], reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        called(*words)


def test_the_admin_shows_tokens_and_revokes_them(ann: User, admin_client: Client) -> None:
    token = issued(ann, name="plots").token

    page = admin_client.get("/admin/agents/apitoken/").content.decode()
    detail = admin_client.get(f"/admin/agents/apitoken/{token.pk}/change/").content.decode()
    admin_client.post("/admin/agents/apitoken/", {"action": "revoke", "_selected_action": [token.pk]})

    token.refresh_from_db()
    assert "plots" in page
    assert token.key_hash not in page + detail
    assert (token.revoked_at is not None, token.revoked_by) == (True, "admin")


def test_only_admins_revoke_tokens(ann: User, client: Client) -> None:
    token = issued(ann).token
    client.force_login(a_user("looker", "operator", is_staff=True))

    client.post("/admin/agents/apitoken/", {"action": "revoke", "_selected_action": [token.pk]})

    token.refresh_from_db()
    assert token.revoked_at is None
